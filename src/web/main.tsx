/** The page: signs in, follows the open folder, and shows the view that the address names. */
import { render } from "preact";
import { begin } from "./begin.ts";
import { Page } from "./views/Page.tsx";

begin();
const root = document.getElementById("page");
if (root !== null) render(<Page />, root);
