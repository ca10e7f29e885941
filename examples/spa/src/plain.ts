/** The page without a framework: `index.html`. */
import { loadItems } from "./api.ts";
import { onChange, signIn, signOut } from "./session.ts";

const app = document.querySelector("#app")!;

function show(): void {
  if (location.hash === "#/sign-in") {
    app.innerHTML = `<form><input name="user" aria-label="User" required /><button>Sign in</button></form>`;
    app.querySelector("form")!.addEventListener("submit", (event) => {
      event.preventDefault();
      void signIn(new FormData(event.target as HTMLFormElement).get("user") as string);
    });
  } else {
    app.innerHTML = `<p id="user"></p><ul></ul><button id="load">Load</button><button id="sign-out">Sign out</button>`;
    app.querySelector("#load")!.addEventListener("click", () => void load());
    app.querySelector("#sign-out")!.addEventListener("click", () => void signOut());
    void load();
  }
}

async function load(): Promise<void> {
  const [line, list] = [app.querySelector("#user"), app.querySelector("ul")];
  try {
    const { user, items } = await loadItems();
    if (line !== null) line.textContent = `Items of ${user}`;
    list?.replaceChildren(...items.map((item) => Object.assign(document.createElement("li"), { textContent: item })));
  } catch (error) {
    if (line !== null) line.textContent = (error as Error).message;
  }
}

const stop = onChange(show);
show();

// The changed module shows the page anew.
import.meta.hot?.accept();
import.meta.hot?.dispose(stop);
