// Suggests a slug from a name while the slug has not been edited by hand.
const slug = document.querySelector("[data-slug-from]");
const name = document.querySelector(slug.dataset.slugFrom);
let byHand = slug.value !== "";

const suggest = (text) =>
  text
    .normalize("NFKD")
    .replace(/\p{M}/gu, "")
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, 50)
    .replace(/^-+|-+$/g, "");

slug.addEventListener("input", () => (byHand = slug.value !== ""));
name.addEventListener("input", () => {
  if (!byHand) slug.value = suggest(name.value);
});
