r"""What right behind an announced answer takes it back.

In the same sentence a word is enough: `\boxed{18} or 20`, `\boxed{18}? No.`, `\boxed{18} is wrong`. Behind the end of
the sentence a whole statement must do it: one that says so (`No.`, `Just kidding.`, `That can't be right`), or a word
of contrast with another answer (`Or is it 19?`, `Actually, Tuesday.`, `But three are eaten, so 12`). An ordinary next
sentence may begin with the same words: `No other value works.`, `But note that this assumes daily sales.`
"""

import re

from interp.tasks.text.number_words import NUMBER_WORDS
from interp.tasks.text.vocabulary import NEVER_HARMLESS

MAX_BEHIND = 120

_NUMBER = rf"[-−$€£\\({{#*]{{0,4}}[0-9]|(?:{'|'.join(sorted(NUMBER_WORDS - {'one'}))})\b|one(?=\s*(?:[.,;!?]|\Z))"
_END = r"(?=\s*(?:[.,;:!?)\n—–]|-[\s-]|\Z))"
_BREAK = re.compile(r"[\s*_$()\]\"'”’.,;:!?—–…-]*")
_SAME_SENTENCE = re.compile(
    r"[\s*_$)]*(?:\?|[,;]?\s*(?:(?:or|but|if|unless|minus|plus|times|squared|cubed|nor|maybe|perhaps|possibly)\b"
    r"|(?:and|to)\s+[$\\]*[0-9]|(?:less|more|greater|fewer|larger|smaller)\s+than\b"
    r"|(?:is|was|would be|which is|this is|that is)\s+(?:not|wrong|incorrect|false|less|more|half|twice)\b"
    r"|isn['’]t\b))"
    r"|[\s*_$),;:—–-]*(?:no|nope|not|wrong|incorrect|false|or|but|wait|actually|rather|i mean|never mind|ignore)\b",
    re.I,
)

_CAPITALIZED = re.compile(r"[A-Z](?![A-Z])")

_SUBJECT = r"(?:that|this|it|(?:the\s+)?above|(?:the|my|this|that)\s+(?:\w+\s+)?(?:answer|result|number|value|total))"
_COPULA = r"(?:['’]s|\s+is|\s+was|\s+looks|\s+seems|\s+sounds|\s+(?:must|might|may|could|can|would)\s+be)"
_DEGREE = r"(?:\s+(?:really|quite|exactly|entirely|completely|simply|clearly|actually|just|at all|necessarily|even))?"
_FALSE = r"(?:wrong|incorrect|false|mistaken|impossible|nonsense|off|too\s+\w+|a\s+(?:lie|mistake|guess)|an\s+error)\b"
_NOT_TRUE = (
    rf"{_DEGREE}(?:\s+(?:right|correct|true|sure|certain|valid|accurate|it|what|my|the\s+(?:right|correct|final|answer))\b"
    rf"|(?:\s+(?:so|yet|fast|possible|close|the case))?{_END}|\s+(?:{_NUMBER}))"
)
_STATEMENTS = (
    rf"(?:no|nope|nah|never|wrong|incorrect|false|correction|kidding|ignore|rejected|negative|edit|hold on"
    rf"|sorry|rather){_END}",
    rf"no\s+(?:{_NUMBER})",
    r"(?:no\s+(?:wait|way|it|that|this|i)|except|is\s+it(?=\?)|do(?:n['’]t|\s+not)\s+(?:believe|trust)"
    r"|oops|whoops|wait|hmm+|never\s?mind|(?:scratch|strike)\s+that"
    r"|(?:just|only)\s+(?:kidding|joking)|my\s+(?:mistake|bad|error)|on\s+second\s+thought|unless"
    r"|ignore\s+(?:that|this|it|my|what|the\s+(?:above|previous|answer))|or\s+(?:less|more|fewer)\s+than"
    r"|let\s+me\s+(?:redo|fix|correct|try\s+again|start\s+over|reconsider|rethink|recompute|recalculate))\b",
    rf"(?:wrong|incorrect|false)\s+(?:answer|result|number){_END}",
    rf"no\s+(?:idea|clue){_END}",
    rf"not(?:\s+(?:really|quite|exactly|at\s+all|necessarily|so|yet|even\s+close|entirely|the\s+case))?"
    rf"(?:\s+(?:right|correct|true|sure|certain|valid|fast|it|the\s+answer))?{_END}",
    rf"not\s+(?:{_NUMBER})",
    r"(?:(?:is|was)\s+(?:not|wrong|incorrect|false)|isn['’]t|wasn['’]t|squared|cubed)\b",
    rf"{_SUBJECT}{_COPULA}{_DEGREE}\s+{_FALSE}",
    rf"{_SUBJECT}(?:{_COPULA}\s+not|\s+(?:is|was)n['’]t){_NOT_TRUE}",
    rf"{_SUBJECT}\s+(?:can(?:not|['’]t|\s+not)|could(?:n['’]t|\s+not))\s+be"
    rf"(?:{_END}|\s+(?:right|correct|true|so|it|possible|the\s+answer)\b|\s+(?:{_NUMBER}))",
    rf"{_SUBJECT}\s+does(?:n['’]t|\s+not)\s+(?:make\s+sense|work|add\s+up|fit|look|seem|match|check)\b",
    r"i(?:\s+am|['’]m)\s+(?:not\s+(?:\w+\s+)?(?:sure|certain|confident)|unsure|wrong|mistaken|kidding|joking|lying)\b",
    r"i\s+(?:made\s+(?:it|that|this)\s+up|invented\s+(?:it|that|this)|just\s+guessed)\b",
    r"i\s+(?:was|may\s+be|might\s+be|could\s+be|must\s+be)\s+(?:wrong|mistaken|lying|kidding|joking)\b",
    r"i\s+(?:lied|mean|meant|doubt|guess|guessed|forgot|misread|miscounted|miscalculated|take\s+(?:it|that|this)\s+back"
    r"|changed\s+my\s+mind|made\s+an?\s+(?:\w+\s+)?(?:mistake|error)|do(?:n['’]t|\s+not)\s+(?:think|believe|know))\b",
)
_LEADS = (
    r"(?:(?:but|or|and|actually|oh|well|no|nope|ah|er|um|uh|lol|however|maybe|perhaps|possibly|so|sorry|rather|though|yet"
    r"|still|absolutely|definitely|totally|completely|certainly|clearly|probably|of\s+course"
    r"|i\s+think|i\s+believe|i['’]m\s+afraid)[\s,.;:!…—–-]+){0,3}"
)
_STATEMENT = re.compile(_LEADS + "(?:" + "|".join(_STATEMENTS) + ")", re.I)

_CONTRAST = re.compile(
    r"(?:(?:well|oh|ah|er|um|uh|and|so|hmm+)[\s,.…—–-]+)?"
    r"(?:(?:but|or|actually|rather|maybe|perhaps|possibly|instead|however|sorry|um|er|minus|plus|times"
    r"|(?:it|that|this|the\s+answer)\s+(?:should|must|might|may|could|has\s+to|ought\s+to)(?:\s+have)?(?:\s+be|\s+been))"
    r"(?:[\s,.:…—–-]+|\Z))++",
    re.I,
)
_FILLERS = re.compile(
    r"(?:(?:it['’]s|that['’]s|(?:is|was)\s+it|(?:could|should|might)\s+it\s+be|then\s+again"
    r"|i\s+(?:think|believe|say)|(?:it|that|this|the(?:\s+\w+)?\s+(?:answer|result|total"
    r"|value))\s+(?:is|was|equals)|(?:should|could|might|may|must|would|has\s+to)(?:\s+have)?\s+(?:be|been)|what\s+(?:if|about)"
    r"|it|that|the|answer|then|maybe|perhaps|possibly|probably|likely|really|actually|exactly|more\s+precisely|instead|rather"
    r"|better|also|just|only|even|about|around|approximately|roughly|nearly|almost|not|i\s+mean)[\s,:]+)*+",
    re.I,
)
_ANOTHER_NUMBER = re.compile(rf"{_NUMBER}|\\|\$", re.I)
_WORD = r"[^\s.,;:!?]++(?:\s*+[-+*/=<>]\s*+[^\s.,;:!?]++)*+"
_ANOTHER_WORD = re.compile(rf"(?:{_WORD}(?:\s+{_WORD})?|(?:[A-Z]\w*+\s*+)+){_END}")
_ANOTHER_SUBJECT = re.compile(
    rf"(?!(?:which|everything|all|nothing)\b){_WORD}(?:\s+{_WORD}){{0,2}}\s+(?:is|was|seems|looks|would\s+be|could\s+be)\s+"
    r"(?:also\s+|too\s+)?(?:right|correct|better|best|possible|it|the\s+(?:answer|right|correct|true|real))\b"
)
_ORDINARY = re.compile(
    r"(?:in|as|if|to|for|with|by|at|of|on|when|since|we|you|he|she|they|note|see|check|verify|recall|remember|again|first"
    r"|equivalently|simply|surprisingly|interestingly|more\s+\w+ly|both|this|than|put|correct|right|true|fine|easy|enough)\b",
    re.I,
)
_RESTATEMENT = re.compile(
    r"(?:or|actually)[\s,]+(?:(?:it|that)(?:['’]s|\s+is)\s+)?(?:[0-9][0-9.\s*+/×()-]*=\s*)?\$?"
    r"([0-9][0-9,.]*)(?:\s+([a-z]+))?\s*",
    re.I,
)
_RESULT = re.compile(
    r"(?:\b(?:so|then|thus|hence|therefore|is|be|equals|makes?|gives?|gets?|only)|=)[\s,$\\(*]*(?:it\s+is\s+)?\$?"
    r"([0-9][0-9,.]*)",
    re.I,
)


_BESIDE = re.compile(
    r"(?:alternatively|equally|as\s+well|(?:or\s+)?also|(?:(?:it|that|this|the\s+(?:\w+\s+)?(?:answer|result))"
    r"(?:['’]s|\s+is|\s+could\s+be|\s+may\s+be|\s+might\s+be))\s+(?:also|equally|as\s+well)"
    r"|(?:another|a\s+second|one\s+more)\s+(?:\w+\s+)?(?:answer|result|solution)\s+is)[\s,:]+"
    r"(?:(?:it\s+is|it['’]s|the\s+answer\s+is)\s+)?[$\\(*]*(-?[0-9][0-9,./]*)",
    re.I,
)
"""Another answer beside the first: `Alternatively, 13.`, `It is also 13.`"""


def is_taken_back(behind: str, answer: str) -> bool:
    """Whether a text that begins right behind an answer takes that answer back."""
    gap = _BREAK.match(behind)
    assert gap is not None, "the pattern matches any text"
    rest = behind[gap.end() :]
    begins_a_sentence = re.search("[.!]", gap.group()) is not None or _CAPITALIZED.match(rest) is not None
    if "?" in gap.group() or (not begins_a_sentence and _SAME_SENTENCE.match(behind) is not None):
        return True
    return _is_retraction(rest, answer)


def _is_retraction(sentence: str, answer: str) -> bool:
    if _STATEMENT.match(sentence) is not None or _denies(sentence, answer):
        return True
    beside = _BESIDE.match(sentence)
    if beside is not None and _digits(beside[1]) != _digits(answer):
        return True
    contrast = _CONTRAST.match(sentence)
    return contrast is not None and not _restates(sentence, answer) and _is_another(sentence[contrast.end() :], answer)


def _denies(sentence: str, answer: str) -> bool:
    """Whether a sentence is `not X` or `It is not X`, and X the answer."""
    denial = re.match(rf"(?:{_SUBJECT}(?:{_COPULA}\s+not|\s+(?:is|was)n['’]t)|not)\s+", sentence, re.I)
    flags = re.I if len(answer) > 1 else re.NOFLAG  # `A` is not the word `a`
    return denial is not None and re.match(rf"{re.escape(answer)}(?!\w)", sentence[denial.end() :], flags) is not None


def _restates(sentence: str, answer: str) -> bool:
    """Whether a sentence says the same again: `Or 18 dollars.`, `Actually, 9 * 2 = 18.`"""
    first = _first_sentence(sentence)
    restatement = _RESTATEMENT.fullmatch(first)
    return (
        restatement is not None
        and not sentence[len(first) :].startswith("?")
        and re.sub(r"[.]0+$", "", _digits(restatement[1])) == _digits(answer) != ""
        and (restatement[2] or "").lower() not in NEVER_HARMLESS
    )


def _first_sentence(text: str) -> str:
    sentence = re.match(r"(?:[^.!?\n]|\.(?=[0-9]))*", text)
    return "" if sentence is None else sentence.group()


def _is_another(claim: str, answer: str) -> bool:
    """Whether what follows a word of contrast is another answer: a number, one or two words, or another result."""
    fillers = _FILLERS.match(claim)
    named = claim[0 if fillers is None else fillers.end() :]
    if not named or _ANOTHER_NUMBER.match(named) is not None:
        return True
    other = _ANOTHER_WORD.match(named) or _ANOTHER_SUBJECT.match(named)
    if _ORDINARY.match(named) is None and other is not None:
        return True
    results = _RESULT.findall(_first_sentence(claim))
    return bool(results) and _digits(results[-1]) != _digits(answer)


def _digits(text: str) -> str:
    return re.sub(r"[^0-9.]", "", text).rstrip(".")
