// Moves the focus to a container further down the page.
export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root")
  const button = document.createElement("button")
  button.type = "button"
  button.textContent = data.words
  button.className = data.seen ? "seen" : ""
  button.onclick = () => {
    const target = document.querySelector(`.${data.to}`)
    if (!target) return
    target.tabIndex = -1
    target.focus({ preventScroll: true })
    target.scrollIntoView({ block: "start" })
  }
  root.replaceChildren(button)
}
