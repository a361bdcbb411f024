// Plays recorded attacks on one image, of one model or of several in step: every frame is here, so
// scrubbing never asks the server.
const ICONS = {
  first: "M5 4h2v12H5zM17 4v12L8 10z",
  back: "M15 4v12L6 10z",
  play: "M6 4v12l10-6z",
  pause: "M5 4h4v12H5zM11 4h4v12h-4z",
  next: "M5 4v12l9-6z",
  last: "M3 4v12l9-6zM13 4h2v12h-2z",
}
const PLAY_SECONDS = 3
const LARGEST_PICTURE = 300
const SMALL_PICTURE = 96 // about, where three of them just stand side by side
const STACKED_PICTURE = 200
const WIDE = 980 // pixels from which each of several models has a line, its probabilities at the end
const WIDE_PICTURE = 230
const BARS = 340 // pixels left for the probabilities there
const OUTSIDE = 5.5 // lines of text above and below the models, in present mode
const AROUND = 6.5 // lines around the pictures of each
const GAP = 16
const players = new WeakMap()

// Small pictures are enlarged a whole number of times; large ones are made to fit.
const whole = (factor) => (factor >= 1 ? Math.floor(factor) : factor)
const percent = (p) => `${p > 0.995 && p < 1 ? ">99" : p < 0.005 && p > 0 ? "<1" : Math.round(100 * p)}\u00a0%`

function element(tag, attributes = {}, ...children) {
  const svg = ["svg", "path", "line"].includes(tag)
  const node = svg
    ? document.createElementNS("http://www.w3.org/2000/svg", tag)
    : document.createElement(tag)
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value)
  node.append(...children)
  return node
}

function icon(name) {
  return element("svg", { viewBox: "0 0 20 20", "aria-hidden": "true" }, element("path", { d: ICONS[name] }))
}

function picture(role, title, ...more) {
  const img = element("img", { alt: "", decoding: "sync" })
  const caption = element("figcaption")
  const figure = element(
    "figure", {},
    element("div", { class: "title" }, element("span", { class: `mark ${role}`, "aria-hidden": "true" }), title),
    element("div", { class: "frame" }, img, ...more), caption,
  )
  return { img, caption, figure }
}

function bar(role, share, words) {
  const title = `${words}: ${(100 * share).toFixed(1)}\u00a0%`
  return element("div", { class: "bar", style: `--share: ${share}`, title }, element("i", { class: role }), percent(share))
}

const answer = ({ prediction, confidence }) => `${prediction}, ${percent(confidence)}`

function caption({ caption }, strong, faint) {
  caption.replaceChildren(element("strong", {}, strong), element("span", {}, ` ${faint}`))
}

// Clean, perturbation and adversarial picture of one model; beside others its name and probabilities.
class Model {
  constructor(model, data) {
    Object.assign(this, { model, data, end: model.frames.length - 1, several: data.models.length > 1 })
    this.clean = picture("clean", "Clean")
    this.delta = picture("delta", "Perturbation", element("span", { class: "gain" }, `× ${data.gain}`))
    this.adversarial = picture("adversarial", "Adversarial")
    this.pictures = [this.clean, this.delta, this.adversarial]
    this.place = element("span")
    this.bars = element("div", { class: "bars", role: "img" })
    this.node = element("div", {}, element("div", { class: "triptych" }, ...this.pictures.map(({ figure }) => figure)))
    if (this.several) {
      this.node.prepend(element("div", { class: "name" }, element("b", {}, model.name), this.place))
      this.node.append(this.bars)
      this.node.setAttribute("role", "group")
      this.node.setAttribute("aria-label", model.name)
    }
    this.by = this.several ? ` by ${model.name}` : ""
    this.clean.img.src = data.clean
    this.clean.img.alt = `clean image: ${data.label} predicted${this.by} as ${answer(model.clean)}`
    caption(this.clean, model.clean.prediction, `with ${percent(model.clean.confidence)}`)
  }

  at(step) {
    return this.model.frames[Math.min(step, this.end)]
  }

  words(step) {
    const { num_steps, num_restarts } = this.model
    const { index, restart } = this.at(step)
    return `step ${index} of ${num_steps}${num_restarts > 1 ? `, start ${restart + 1}` : ""}${step > this.end ? ", ended" : ""}`
  }

  show(step) {
    const { data, several } = this
    const frame = this.at(step)
    this.delta.img.src = frame.delta
    this.delta.img.alt = `perturbation${several ? ` of ${this.model.name}` : ""} at step ${frame.index}, ` +
      `${data.norm} ${frame.distance_words}, amplified ${data.gain} times; mid-grey is no change`
    caption(this.delta, frame.distance_words, `of ${data.epsilon_words}${several ? ` ${data.norm}` : ""}`)
    this.adversarial.img.src = frame.adversarial
    this.adversarial.img.alt = `${data.label} predicted${this.by} as ${answer(frame)}`
    caption(this.adversarial, frame.prediction, `with ${percent(frame.confidence)}`)
    this.place.textContent = this.words(step)
    this.showBars(frame)
  }

  showBars(frame) {
    const rows = this.data.classes.map((name, k) => [name, this.model.clean.shown[k], frame.shown[k]])
    this.bars.replaceChildren(
      element("div", { class: "note" }, element("i", { class: "clean" }), "Clean", element("i", { class: "adversarial" }), "At this step"),
      ...rows.flatMap(([name, clean, now]) => [
        element("span", {}, name),
        element("div", {}, bar("clean", clean, `${name}, clean`), bar("adversarial", now, `${name}, at this step`)),
      ]),
    )
    const told = rows.map(([name, clean, now]) => `${name}: ${percent(clean)}, now ${percent(now)}`)
    this.bars.setAttribute("aria-label", `Probabilities of ${this.model.name}, clean and at this step: ${told.join("; ")}`)
  }

  size(scale, least) {
    for (const { img, figure } of this.pictures) {
      img.width = Math.floor(this.data.width * scale)
      img.height = Math.floor(this.data.height * scale)
      img.style.imageRendering = Number.isInteger(scale) ? "pixelated" : "auto"
      figure.style.width = `${Math.max(img.width + 2, least)}px`
    }
  }
}

class Player {
  constructor(root) {
    this.root = root
    this.step = 0
    this.timer = null
    this.build()
    this.observer = new ResizeObserver(() => this.resize())
    this.observer.observe(root)
  }

  build() {
    const button = (name, label, action) => {
      const node = element("button", { type: "button", "aria-label": label, title: label }, icon(name))
      node.addEventListener("click", action)
      return node
    }
    this.buttons = {
      first: button("first", "First step", () => this.jump(0)),
      back: button("back", "Step back", () => this.jump(this.step - 1)),
      play: button("play", "Play", () => this.toggle()),
      next: button("next", "Step forward", () => this.jump(this.step + 1)),
      last: button("last", "Last step", () => this.jump(this.end)),
    }
    this.range = element("input", { type: "range", min: 0, step: 1, "aria-label": "Step of the attack" })
    this.range.addEventListener("input", () => this.jump(Number(this.range.value)))
    this.output = element("output")
    this.cards = element("div", { class: "models" })
    this.charts = element("div", { class: "charts" })
    this.together = element("span", {}, "One step for all models: an attack that ended earlier stays at its result. Restarts follow one another.")
    const hint = element(
      "div", { class: "hint" },
      "Keys: ", element("kbd", {}, "←"), " ", element("kbd", {}, "→"), " step, ",
      element("kbd", {}, "Space"), " play or pause, ", element("kbd", {}, "Home"), " ",
      element("kbd", {}, "End"), " first and last step. ", this.together,
    )
    this.root.replaceChildren(
      this.cards,
      element("div", { class: "controls" }, ...Object.values(this.buttons), this.range, this.output),
      this.charts,
      hint,
    )
    this.root.setAttribute("role", "group")
    this.root.setAttribute("aria-label", "Player of the recorded attack")
    this.root.addEventListener("keydown", (event) => this.onKey(event))
  }

  update(data) {
    const fresh = this.data?.id !== data.id
    this.data = data
    this.models = data.models.map((model) => new Model(model, data))
    this.end = Math.max(...this.models.map((model) => model.end))
    if (fresh) {
      this.pause()
      this.step = this.end
    }
    this.range.max = this.end
    this.together.hidden = this.models.length === 1
    this.cards.replaceChildren(...this.models.map((model) => model.node))
    this.plots = this.models.length > 1 ? this.compared() : this.single()
    this.charts.replaceChildren(...this.plots.map((plot) => plot.node))
    this.resize()
    this.show()
  }

  resize() {
    if (!this.data) return
    const { width, height } = this.data
    const small = SMALL_PICTURE < width ? SMALL_PICTURE / width : Math.round(SMALL_PICTURE / width)
    // For a projector pictures grow with the screen, and models stand one above the other.
    const projected = Number(getComputedStyle(this.root).getPropertyValue("--picture-growth")) || 0
    const least = 3 * (small * width + 2) + 2 * GAP
    this.cards.style.setProperty("--least", projected ? "100%" : `${least}px`)
    const wide = !projected && this.models.length > 1 && this.cards.clientWidth >= WIDE
    this.cards.classList.toggle("wide", wide)
    const room = this.models[0].node.clientWidth - (wide ? BARS : 0)
    const high = projected ? this.share() : Infinity
    const smooth = projected && width > SMALL_PICTURE // enlarged by any factor, a photograph stays one
    const fit = (columns, most) => {
      const factor = Math.min((room - (columns - 1) * GAP) / columns - 2, most) / width
      return smooth ? factor : whole(factor)
    }
    const largest = wide ? WIDE_PICTURE : Math.max(projected, 1) * LARGEST_PICTURE
    const beside = fit(3, Math.min(largest, (high * width) / height))
    const shown = beside >= small ? beside : fit(1, Math.max(STACKED_PICTURE, width))
    for (const model of this.models) model.size(shown, projected ? (room - 2 * GAP) / 3 : 0)
  }

  share() {
    // The height of a picture, in pixels, if all models are to be on one screen with the controls.
    const line = parseFloat(getComputedStyle(document.documentElement).fontSize)
    return (window.innerHeight - OUTSIDE * line) / this.models.length - AROUND * line
  }

  show() {
    const { step, models } = this
    for (const shown of [...models, ...this.plots]) shown.show(step)
    const several = models.length > 1
    this.output.textContent = several ? `recorded step ${step} of ${this.end}` : models[0].words(step)
    const answers = models.map((one) => `${several ? one.model.name : "predicted"} ${answer(one.at(step))}`)
    this.range.value = step
    this.range.setAttribute("aria-valuetext", `${this.output.textContent}: ${answers.join("; ")}`)
    this.buttons.first.disabled = this.buttons.back.disabled = step === 0
    this.buttons.last.disabled = this.buttons.next.disabled = step === this.end
  }

  jump(step) {
    this.pause()
    this.step = Math.min(Math.max(step, 0), this.end)
    this.show()
  }

  toggle() {
    if (this.timer) return this.pause()
    if (this.step === this.end) this.step = 0
    const play = this.buttons.play
    play.replaceChildren(icon("pause"))
    play.setAttribute("aria-label", "Pause")
    play.title = "Pause"
    const delay = Math.min(Math.max((1000 * PLAY_SECONDS) / (this.end + 1), 40), 250)
    this.timer = setInterval(() => {
      if (this.step >= this.end) return this.pause()
      this.step += 1
      this.show()
    }, delay)
    this.show()
  }

  pause() {
    clearInterval(this.timer)
    this.timer = null
    const play = this.buttons.play
    play.replaceChildren(icon("play"))
    play.setAttribute("aria-label", "Play")
    play.title = "Play"
  }

  onKey(event) {
    const onButton = event.target.closest && event.target.closest("button")
    const steps = { ArrowLeft: this.step - 1, ArrowRight: this.step + 1, Home: 0, End: this.end }
    if (event.key in steps) this.jump(steps[event.key])
    else if (event.key === " " && !onButton) this.toggle()
    else return
    event.preventDefault()
    event.stopPropagation()
  }

  compared() {
    const series = this.models.map(({ model }, i) => [`model${i}`, model.frames.map((frame) => frame.p_label), model.name])
    const options = { floor: 0, ceiling: 1, ticks: [1, 0.5, 0], note: `recorded steps 0 to ${this.end}` }
    return [new Chart(this, `Probability of ${this.data.label}`, series, options)]
  }

  single() {
    const { frames, other } = this.models[0].model
    const { label, epsilon } = this.data
    const values = (name) => frames.map((frame) => frame[name])
    const number = (name) => (step) => {
      const value = frames[step][name]
      return value === null ? "–" : `${Number(value.toPrecision(3))}`
    }
    return [
      new Chart(this, "Attack loss (maximised)", [["neutral", values("loss")]], { words: number("loss") }),
      new Chart(this, "Margin", [["neutral", values("margin")]], {
        words: number("margin"), limit: 0, note: "above the dashed line the label has lost",
      }),
      new Chart(this, "Distance", [["neutral", values("distance")]], {
        words: (step) => frames[step].distance_words, limit: epsilon, floor: 0, note: "the dashed line is the budget",
      }),
      new Chart(this, "Probability", [["blue", values("p_label"), label], ["orange", values("p_other"), other]], {
        floor: 0, ceiling: 1,
      }),
    ]
  }

  destroy() {
    this.pause()
    this.observer.disconnect()
  }
}

class Chart {
  // series: [class of the line, values, and for probabilities what the legend calls it]
  constructor(player, title, series, { words = () => "", limit, floor, ceiling, ticks = [], note = "" }) {
    this.words = words
    this.value = element("span")
    const all = series.flatMap(([, values]) => values).filter(Number.isFinite)
    if (limit !== undefined) all.push(limit)
    let low = floor ?? Math.min(...all), high = ceiling ?? Math.max(...all) * (floor === 0 ? 1.1 : 1)
    if (high - low < 1e-9) high = low + 1
    this.count = player.end + 1
    const y = (v) => 60 - (56 * (Math.min(Math.max(v, low), high) - low)) / (high - low)
    this.legend = series.filter(([, , text]) => text).map(([name, values, text]) => ({ name, values, text, node: element("span") }))
    const ends = this.legend.map(({ text, values }) => `; at the end ${text}: ${percent(values.at(-1))}`).join("")
    const svg = element("svg", { viewBox: "0 0 100 64", preserveAspectRatio: "none", role: "img", "aria-label": `${title} at each step${ends}` })
    for (const at of ticks.length ? ticks.map(y) : [62]) svg.append(element("line", { class: "axis", x1: 0, x2: 100, y1: at, y2: at }))
    if (limit !== undefined) svg.append(element("line", { class: "limit", x1: 0, x2: 100, y1: y(limit), y2: y(limit) }))
    for (const [name, values] of series) {
      const points = values.flatMap((v, i) => (Number.isFinite(v) ? [`${this.x(i)} ${y(v)}`] : []))
      if (!points.length) continue
      svg.append(element("path", { class: name, d: `M${[...points, points.at(-1)].join("L")}` })) // one is a dot
    }
    this.cursor = element("line", { class: "cursor", y1: 0, y2: 64 })
    svg.append(this.cursor)
    const seek = (event) => {
      const box = svg.getBoundingClientRect()
      player.jump(Math.round(((event.clientX - box.left) / box.width) * (this.count - 1)))
    }
    svg.addEventListener("pointerdown", (event) => {
      svg.setPointerCapture(event.pointerId)
      seek(event)
    })
    svg.addEventListener("pointermove", (event) => event.buttons && seek(event))
    const foot = element("div", { class: "note" }, ...this.legend.map(({ node }) => node), note)
    const scale = element("div", { class: "scale", "aria-hidden": "true" }, ...ticks.map((tick) => element("span", {}, percent(tick))))
    const plot = element("div", { class: "plot" }, ...(ticks.length ? [scale] : []), svg)
    this.node = element("div", { class: "chart" }, element("header", {}, element("b", {}, title), this.value), plot, foot)
  }

  x(step) {
    return this.count > 1 ? (100 * step) / (this.count - 1) : 50
  }

  show(step) {
    this.value.textContent = this.words(step)
    for (const { name, values, text, node } of this.legend) {
      const key = element("svg", { class: "key", viewBox: "0 0 18 4" }, element("line", { class: name, x1: 0, x2: 18, y1: 2, y2: 2 }))
      node.replaceChildren(key, `${text}: ${percent(values[Math.min(step, values.length - 1)])}`)
    }
    this.cursor.setAttribute("x1", this.x(step))
    this.cursor.setAttribute("x2", this.x(step))
  }
}

export default function ({ data, parentElement }) {
  const root = parentElement.querySelector(".root")
  if (!players.has(root)) players.set(root, new Player(root))
  players.get(root).update(data)
  return () => {
    players.get(root)?.destroy()
    players.delete(root)
  }
}
