"""A study folder becomes a page, Markdown, tables and figures; nothing is shown that no file holds."""

from gpt2lab.study.report.writing import write, write_comparison

__all__ = ["write", "write_comparison"]
