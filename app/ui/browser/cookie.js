// Keeps a value in a cookie of this browser, or forgets it.
export default function ({ data }) {
  const age = data.value ? data.seconds : 0
  const until = age === null ? "" : `; max-age=${age}`
  document.cookie = `${data.name}=${data.value}; path=/; SameSite=Lax${until}`
}
