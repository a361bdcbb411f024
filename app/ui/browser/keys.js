// Presses buttons of the page by keys, except where a key already means something.
const BUSY =
  "input, textarea, select, [contenteditable=true], [role=slider], [role=radiogroup], [role=tablist], " +
  "[role=listbox], [role=combobox], [role=menu], [role=dialog], [role=grid], canvas"
const OPEN = "[data-testid=stPopoverBody], [role=dialog], [role=menu], [role=listbox]"
let stop = () => {}

export default function ({ data }) {
  stop()
  const press = (event) => {
    const name = data.keys[event.key]
    if (!name || event.defaultPrevented || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return
    const busy = event.key === "Escape" ? document.querySelector(OPEN) : event.composedPath().some((node) => node.matches?.(BUSY))
    const button = document.querySelector(`.${name} button`)
    if (busy || !button) return
    event.preventDefault()
    button.click() // one that is disabled does nothing
  }
  document.addEventListener("keydown", press)
  stop = () => document.removeEventListener("keydown", press)
  return stop
}
