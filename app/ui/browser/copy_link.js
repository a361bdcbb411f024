// Copies the address of the page's state and lets the server put it into the address bar.
export default function ({ data, parentElement, setTriggerValue }) {
  const root = parentElement.querySelector(".root")
  let button = root.querySelector("button")
  if (!button) {
    button = document.createElement("button")
    button.type = "button"
    button.innerHTML =
      '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M8.5 11.5a3 3 0 0 0 4.3 0l3-3a3 3 0 0 0-4.3-4.3l-1 1M11.5 8.5a3 3 0 0 0-4.3 0l-3 3a3 3 0 0 0 4.3 4.3l1-1"/></svg>' +
      '<span aria-live="polite">Copy link</span>'
    root.append(button)
  }
  button.onclick = async () => {
    const address = `${location.origin}${location.pathname}?${data.query}`
    const words = button.querySelector("span")
    try {
      await navigator.clipboard.writeText(address)
      words.textContent = "Copied"
    } catch {
      words.textContent = "It is in the address bar"
    }
    setTimeout(() => (words.textContent = "Copy link"), 2500)
    setTriggerValue("copied", data.query)
  }
}
