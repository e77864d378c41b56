// Shows the cards that hold all of the words and have what was chosen; without it all are shown.
const form = document.querySelector(".filters");
const families = [...document.querySelectorAll(".family")];
function choose() {
  const words = form.words.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const family of families) {
    let any = false;
    for (const card of family.querySelectorAll(".card")) {
      const text = (card.textContent + " " + card.dataset.family).toLowerCase();
      const fits = words.every((word) => text.includes(word))
        && [...form.querySelectorAll("select")].every((list) => !list.value
          || card.dataset[list.name].split(list.name === "can" ? " " : "\n").includes(list.value));
      card.hidden = !fits;
      any ||= fits;
      count += fits;
    }
    family.hidden = !any;
  }
  form.querySelector("output").textContent = count === 1 ? "1 model" : count + " models";
}
// index.html?data=MNIST&can=traverse begins with a choice.
for (const [name, value] of new URLSearchParams(location.search)) {
  if (form.elements[name]) form.elements[name].value = value;
}
form.addEventListener("input", choose);
form.addEventListener("submit", (event) => event.preventDefault());
form.hidden = false;
choose();
