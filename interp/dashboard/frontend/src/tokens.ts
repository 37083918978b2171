// The visible text of a token: white space as signs, everything that a page would swallow or act on as an escape.

const SIGNS: Record<string, string> = { " ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍" };
// Control characters, marks that turn the direction of writing, invisible characters, and halves of surrogate pairs.
const HIDDEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/g;

function escape(character: string): string {
  const code = character.charCodeAt(0);
  return code < 256 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16).padStart(4, "0")}`;
}

export function visible(text: string): string {
  if (text === "") return "∅";
  return text.replace(/[ \n\t\r]/g, (sign) => SIGNS[sign]).replace(HIDDEN, escape);
}

/** Text of several words as people read it: spaces and line ends stay, hidden characters are escaped. */
export function readable(text: string): string {
  return text.replace(HIDDEN, (character) => (character === "\n" || character === "\t" ? character : escape(character)));
}

/** A token in words, for a screen reader: its white space is named. */
export function spoken(text: string): string {
  if (text === " ") return "space";
  if (text === "\n") return "line end";
  return text.replace(/^ /, "").replace(/\n/g, " line end ").replace(HIDDEN, escape) || "empty";
}
