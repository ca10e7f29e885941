/** Stands for the application around a client: where it goes when nobody is signed in, and what is told of a refresh. */
export const seen = { redirects: 0, refreshes: 0 };

/** In an application: `location.assign("/sign-in")`. */
export function goToSignIn(): void {
  seen.redirects++;
}

/** In an application: the new token is handed to a socket, to a store or to the log. */
export function onRefreshed(): void {
  seen.refreshes++;
}
