/* The field view's scene: the masses and what is set about them, its steps in words, and the address that holds all of it. */
const scene = (() => {
const STEPS = [
  { key: "masses", name: "Masses", title: "Masses attract",
    words: ["Each datum is a mass. The lines show where its pull leads, and every line ends on a mass. A mass of twice the weight collects twice as many lines.",
      "Drag a mass, weigh it, or double-click an empty place to add one."] },
  { key: "afar", name: "From afar", title: "From afar all is one mass",
    words: ["Step back, and the lines straighten. Beyond the inner circle the field is within 10 % of that of one mass at the centre (grey), beyond the outer circle within 1 %.",
      "So points spread evenly over a large circle stand for the lines of any data. This is where a start can be drawn without knowing the data."] },
  { key: "shell", name: "Shell", title: "No force inside a shell",
    words: ["These masses lie evenly on a circle. Outside they pull as one mass in the middle. Inside, all pulls cancel, wherever you stand.",
      "Drag the probe. Take masses away, and force leaks in between them."] },
  { key: "collapse", name: "Collapse", title: "The plain field collapses",
    words: ["Data are spread out, so each mass is now a disc of data. 300 points start outside and follow the field. Inside a disc all pulls cancel at one spot, and there the points stop.",
      "The data fill the discs, but the points end on a few spots. This is mode collapse."] },
  { key: "lift", name: "Add a dimension", title: "Add a dimension",
    words: ["Lay the same data on the floor, t = 0, of a space with one more dimension. Seen from far above they are one mass, so their lines cross a large half-sphere evenly.",
      "Project the half-sphere from its centre onto the plane t = T. The dots become dense in the middle and thin outside: the density of the starts, called the prior."] },
  { key: "fall", name: "Fall", title: "Fall along the lines",
    words: ["Starts are drawn from the prior on t = T and fall along the lines. Above the floor nothing cancels: the points fill the discs, and each mass collects its share.",
      "The prior takes the data for one mass. The higher T, the truer that is, and the smaller the error of the shares."] },
];
const PLACES = {
  four: [[-1, 0.7, 1], [0.8, 1, 2], [1.1, -0.8, 3], [-0.6, -1, 1.5]],
  pair: [[-0.9, 0, 1], [0.9, 0, 2]],
  ring: Array.from({ length: 7 }, (_, k) => [1.2 * Math.cos((k / 7 + 0.25) * 2 * Math.PI), 1.2 * Math.sin((k / 7 + 0.25) * 2 * Math.PI), 1]),
  clusters: [[-1.3, 0.5, 1], [-1, 1, 1], [-0.8, 0.4, 1], [1, -0.6, 2], [1.4, -0.9, 2]],
  line: [-1.6, -0.8, 0, 0.8, 1.6].map((x, k) => [x, 0, k + 1]),
};
const MOST = 8, EDGE = 2.1, WEIGHTS = [0.2, 6];
const clamp = (v, low, high) => Math.min(high, Math.max(low, v));
const massesOf = rows => rows.map(([x, y, w]) => ({ x: clamp(x, -EDGE, EDGE), y: clamp(y, -EDGE, EDGE), w: clamp(w, ...WEIGHTS) }));

/* What a link may set besides the masses: the least, the most and the usual. */
const NUMBERS = { zoom: [1, 12, 4], shell: [3, 240, 120], px: [-EDGE, EDGE, 0.4], py: [-EDGE, EDGE, 0.25], spread: [0, 0.6, 0.35],
  T: [0.5, 40, 4], at: [0, 1, 1], seed: [0, 999999999, 1], yaw: [-180, 180, -28], tilt: [12, 90, 26] };
const usual = () => Object.fromEntries(Object.entries(NUMBERS).map(([k, [, , v]]) => [k, v]));
const now = { step: "masses", masses: massesOf(PLACES.four), picked: 0, ...usual() };

const MOVING = ["collapse", "lift", "fall"]; /* the steps in which points are on their way */
const brief = (v, digits = 2) => String(Number(v.toFixed(digits)));
/* The scene as an address; what is as usual is left out. How far a step has come belongs to that step alone. */
function address(step = now.step) {
  const link = new URLSearchParams(), masses = now.masses.map(m => [m.x, m.y, m.w].map(v => brief(v)).join(",")).join(";");
  link.set("field", step);
  if (masses !== PLACES.four.map(m => m.join(",")).join(";")) link.set("masses", masses);
  for (const [name, [, , v]] of Object.entries(NUMBERS)) {
    if (name === "at" ? step === now.step && MOVING.includes(step) : Math.abs(now[name] - v) > 1e-9) link.set(name, brief(now[name], name === "at" ? 3 : 2));
  }
  return "#" + decodeURIComponent(link); /* commas and semicolons may stand in a fragment as they are */
}
/* Takes the address. Whatever is no number or out of range is as usual: a link is anybody's. Returns whether it says how far the
   step has come. */
function read(hash) {
  const link = new URLSearchParams(hash.slice(1));
  now.step = STEPS.some(s => s.key === link.get("field")) ? link.get("field") : "masses";
  for (const [name, [low, high, v]] of Object.entries(NUMBERS)) {
    const given = link.get(name), value = given === null || given === "" ? NaN : Number(given);
    now[name] = Number.isFinite(value) ? clamp(value, low, high) : v;
  }
  now.shell = Math.round(now.shell); now.seed = Math.round(now.seed);
  const rows = (link.get("masses") || "").split(";").map(row => row.split(",").map(Number)).filter(row => row.length === 3 && row.every(Number.isFinite));
  now.masses = massesOf(rows.length ? rows.slice(0, MOST) : PLACES.four);
  now.picked = Math.min(now.picked, now.masses.length - 1);
  return link.has("at");
}
/* The arrangement that the masses are in, by its name; "" for one's own. */
const placed = () => Object.keys(PLACES).find(k => JSON.stringify(massesOf(PLACES[k])) === JSON.stringify(now.masses)) ?? "";
const sources = () => ({ x: now.masses.map(m => m.x), y: now.masses.map(m => m.y), w: now.masses.map(m => m.w) });
const stepAt = by => STEPS[STEPS.findIndex(s => s.key === now.step) + by];
return { STEPS, MOVING, PLACES, MOST, EDGE, WEIGHTS, NUMBERS, now, clamp, massesOf, address, read, placed, sources, stepAt };
})();
