import { isRemintError } from "remint";
import { api, session, signIn, signOut } from "./session.ts";

const element = (id: string): HTMLElement => document.querySelector<HTMLElement>(`#${id}`)!;
const input = (name: string): HTMLInputElement => document.querySelector<HTMLInputElement>(`input[name=${name}]`)!;
const say = (text: string): void => void (element("state").textContent = text);

function show(isSignedIn: boolean): void {
  element("sign-in").hidden = isSignedIn;
  element("signed-in").hidden = !isSignedIn;
  if (isSignedIn) return;
  element("orders").textContent = "";
  say("You are signed out.");
}

async function loadOrders(): Promise<void> {
  try {
    const response = await api("/api/orders");
    if (response.status === 401) return show(false);
    if (!response.ok) return say(`The orders cannot be read: the server answered ${response.status}.`);
    show(true);
    element("orders").textContent = await response.text();
    say("You are signed in.");
  } catch (error) {
    if (!isRemintError(error)) return say("The server cannot be reached.");
    if (error.terminal) return show(false);
    show(true);
    const seconds = Math.ceil((error.retryAfter ?? 5000) / 1000);
    say(`You are still signed in, but the sign-in service does not answer. Please try again in ${seconds} s.`);
  }
}

session.onChange = (isSignedIn) => (isSignedIn ? void loadOrders() : show(false));

element("load").addEventListener("click", () => void loadOrders());
element("sign-out").addEventListener("click", () => {
  signOut().then(
    () => show(false),
    () => say("You are still signed in: the server cannot be reached."),
  );
});
element("sign-in").addEventListener("submit", (event) => {
  event.preventDefault();
  signIn(input("user").value, input("password").value).then(
    (isRight) => (isRight ? loadOrders() : say("The name or the password is wrong.")),
    () => say("The server cannot be reached."),
  );
});

await loadOrders();
