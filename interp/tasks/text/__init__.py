"""Answers in ordinary text: which one is announced, what number it is, whether it is the right one."""
