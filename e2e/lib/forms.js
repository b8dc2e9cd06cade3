// As much HTML as our own pages need: forms, their fields, and the escapes in them.

const NAMED = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

/** Text of an attribute value. */
export function unescape(text) {
  return text.replace(/&(?:#x([0-9a-f]+)|#(\d+)|(\w+));/gi, (all, hex, decimal, name) => {
    if (hex) return String.fromCodePoint(parseInt(hex, 16));
    if (decimal) return String.fromCodePoint(Number(decimal));
    return NAMED[name] ?? all;
  });
}

function attributes(tag) {
  const found = {};
  for (const [, name, double, single, bare] of tag.matchAll(/([\w-]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s>]+)))?/g)) {
    found[name.toLowerCase()] ??= unescape(double ?? single ?? bare ?? '');
  }
  return found;
}

/** The forms of a page: `{ action, method, hidden: {name: value}, names: Set, words: [text between two tags] }`. */
export function parseForms(html) {
  const forms = [];
  for (const [, head, inner] of html.matchAll(/<form\b([^>]*)>([\s\S]*?)<\/form>/gi)) {
    const { action, method = 'get' } = attributes(head);
    const form = { action, method: method.toUpperCase(), hidden: {}, names: new Set() };
    form.words = inner.split(/<[^>]*>/).map((text) => unescape(text).trim()).filter(Boolean);
    for (const [, , tag] of inner.matchAll(/<(input|button|select|textarea)\b([^>]*)>/gi)) {
      const field = attributes(tag);
      if (!field.name) continue;
      form.names.add(field.name);
      if (field.type?.toLowerCase() === 'hidden') form.hidden[field.name] = field.value ?? '';
    }
    forms.push(form);
  }
  return forms;
}
