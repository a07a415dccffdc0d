// The top of the page: whether cameras are analysed, the theme, and the button to log out.
const notice = element.querySelector(".notice");
const theme = element.querySelector(".theme");
const logout = element.querySelector(".out");
const NOTICES = {
  cameras: merau.id("Camera on: faces in view are analysed"), recordings: merau.id("A recording is being analysed"),
  lost: merau.id("Connection to the camera lost: nothing is analysed"), nothing: merau.id("No camera is on"),
};
const showNotice = (analysed) => {
  notice.textContent = merau.t(NOTICES[analysed]);
  notice.classList.toggle("on", analysed === "cameras");
};
const setDark = (dark) => {
  document.body.classList.toggle("dark", dark);
  localStorage.setItem("merau-dark", dark ? "1" : "0");
};
if (localStorage.getItem("merau-dark")) setDark(localStorage.getItem("merau-dark") === "1");
theme.addEventListener("click", () => setDark(!document.body.classList.contains("dark")));
document.addEventListener("merau-analysed", (event) => showNotice(event.detail));
merau.whenEntered(() => {
  showNotice("nothing");
  for (const name of ["aria-label", "title"]) theme.setAttribute(name, merau.t("Dark or light"));
  logout.querySelector("button").textContent = merau.t("Log out");
  logout.action = `${merau.root}/logout`;
  logout.hidden = !merau.login;
});
