// Small pictures to choose from; tells the server the id of the one that is clicked.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root")
  const focused = root.querySelector("button:focus")?.dataset.id
  root.setAttribute("role", "group")
  root.setAttribute("aria-label", data.label)
  const buttons = data.items.map((item) => {
    const button = document.createElement("button")
    const image = document.createElement("img")
    image.src = item.src
    image.alt = ""
    button.append(image)
    button.type = "button"
    button.title = item.label
    button.dataset.id = item.id
    button.setAttribute("aria-label", item.label)
    button.setAttribute("aria-pressed", String(item.id === data.chosen))
    button.addEventListener("click", () => setTriggerValue("picked", item.id))
    return button
  })
  root.replaceChildren(...buttons)
  if (focused !== undefined) buttons.find((button) => button.dataset.id === focused)?.focus()
}
