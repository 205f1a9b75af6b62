const all = (css, of = document) => [...of.querySelectorAll(css)];
const body = document.querySelector('tbody'), rows = [...body.rows], tools = document.querySelector('.tools');
const filter = tools.querySelector('input'), count = tools.querySelector('output');
document.documentElement.classList.add('js');

// What a chip of the filter stands for: app, environment, and the chips of the state.
const groups = [r => [r.cells[1].textContent], r => [r.cells[2].textContent],
  r => all('.chip', r.cells[3]).map(chip => chip.textContent)];
const chosen = groups.map(() => new Set());
const texts = new Map(rows.map(r => [r, r.textContent.toLowerCase()]));
function show() {
  const word = filter.value.toLowerCase();
  const fits = r => texts.get(r).includes(word)
    && groups.every((of, i) => !chosen[i].size || of(r).some(value => chosen[i].has(value)));
  rows.forEach(r => r.hidden = !fits(r));
  count.textContent = `${rows.filter(r => !r.hidden).length} of ${rows.length} shown`;
}
groups.forEach((of, i) => {
  const found = new Map();
  rows.forEach(r => of(r).forEach(value => value && found.set(value, (found.get(value) || 0) + 1)));
  const most = [...found].sort((a, b) => b[1] - a[1]).slice(0, 6);
  if (found.size > 1) most.forEach(([value, times]) => {
    const chip = document.createElement('button');
    chip.type = 'button';
    chip.textContent = `${value} ${times}`;
    chip.title = value;
    chip.setAttribute('aria-pressed', false);
    chip.onclick = () => {
      chosen[i].delete(value) || chosen[i].add(value);
      chip.setAttribute('aria-pressed', chosen[i].has(value));
      show();
    };
    tools.append(chip);
  });
});
filter.oninput = show;
tools.hidden = !rows.length;
show();

const titles = all('th').slice(0, -1);
titles.forEach((th, i) => {
  const button = document.createElement('button');
  button.type = 'button';
  button.textContent = th.textContent;
  th.replaceChildren(button);
  button.onclick = () => {
    const up = th.getAttribute('aria-sort') !== 'ascending';
    titles.forEach(other => other.removeAttribute('aria-sort'));
    th.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const value = r => r.cells[i].dataset.v ?? r.cells[i].textContent;
    const order = (x, y) => isNaN(x) || isNaN(y) || !x || !y ? x.localeCompare(y) : x - y;
    rows.sort((a, b) => (up ? 1 : -1) * order(value(a), value(b)));
    body.append(...rows);
  };
});

// Without a clipboard, as on a page that came by plain HTTP, by a selection.
async function copy(text) {
  try { await navigator.clipboard.writeText(text); return true; } catch { /* the other way */ }
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
const copied = [['link', r => r.querySelector('a.get')?.href], ['SHA-256', r => r.querySelector('.sha')?.textContent],
  ['fetch command', r => r.querySelector('.fetch')?.textContent]];
rows.forEach(r => {
  const place = r.querySelector('.copy');
  copied.forEach(([what, of], i) => {
    if (!of(r)) return;
    const button = document.createElement('button');
    button.type = 'button';
    button.dataset.i = i;
    button.textContent = `Copy ${what}`;
    place.append(button);
  });
});
body.onclick = async event => {
  const button = event.target.closest('.copy button'), what = button && copied[button.dataset.i];
  if (!what) return;
  const done = await copy(what[1](button.closest('tr')));
  button.textContent = done ? 'Copied' : 'Not copied';
  setTimeout(() => button.textContent = `Copy ${what[0]}`, 1500);
};

const ago = new Intl.RelativeTimeFormat('en'), units = [['day', 86400], ['hour', 3600], ['minute', 60]];
all('time').forEach(time => {
  const seconds = (Date.parse(time.dateTime) - Date.now()) / 1000;
  const [unit, length] = units.find(([, length]) => Math.abs(seconds) >= length) ?? ['second', 1];
  time.nextElementSibling.textContent = ago.format(Math.trunc(seconds / length), unit);
});
