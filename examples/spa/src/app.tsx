import { useEffect, useState, useSyncExternalStore } from "react";
import { loadItems } from "./api.ts";
import { onChange, signIn, signOut } from "./session.ts";
import type { Items } from "./api.ts";

export function App() {
  // Where the session has led the page: the token cache tells it, also for what happens in another tab.
  const place = useSyncExternalStore(onChange, () => location.hash);
  return place === "#/sign-in" ? <SignIn /> : <List />;
}

function SignIn() {
  return (
    <form action={(data) => signIn(data.get("user") as string)}>
      <input name="user" aria-label="User" required />
      <button>Sign in</button>
    </form>
  );
}

function List() {
  const [shown, setShown] = useState<Items | string>("");
  const load = (signal?: AbortSignal): void =>
    void loadItems(signal).then(setShown, (error: Error) => {
      if (signal?.aborted !== true) setShown(error.message);
    });
  useEffect(() => {
    // Strict mode runs the effect twice: the first request is aborted. The interceptor is not added here.
    const leave = new AbortController();
    load(leave.signal);
    return () => leave.abort();
  }, []);
  return (
    <>
      <p id="user">{typeof shown === "string" ? shown : `Items of ${shown.user}`}</p>
      <ul>{typeof shown === "string" ? null : shown.items.map((item) => <li key={item}>{item}</li>)}</ul>
      <button id="load" onClick={() => load()}>
        Load
      </button>
      <button id="sign-out" onClick={() => void signOut()}>
        Sign out
      </button>
    </>
  );
}
