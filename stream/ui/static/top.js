// The head of the page: the notice whether cameras are analysed, dark or light, and the way out.
const notice = element.querySelector(".notice");
const theme = element.querySelector(".theme");
const out = element.querySelector(".out");
const told = { cameras: "Faces in view are analysed", recordings: "A recording is analysed", nothing: "No camera is analysed" };
const tell = (seen) => {
  notice.textContent = merau.say(told[seen]);
  notice.classList.toggle("on", seen === "cameras");
};
const dark = (is) => {
  document.body.classList.toggle("dark", is);
  localStorage.setItem("merau-dark", is ? "1" : "0");
};
if (localStorage.getItem("merau-dark")) dark(localStorage.getItem("merau-dark") === "1");
theme.addEventListener("click", () => dark(!document.body.classList.contains("dark")));
document.addEventListener("merau-on", (event) => tell(event.detail));
merau.whenEntered(() => {
  tell("nothing");
  for (const name of ["aria-label", "title"]) theme.setAttribute(name, merau.say("Dark or light"));
  out.textContent = merau.say("Log out");
  out.hidden = !merau.login;
});
