"""Recognizers of other papers that MERAU is compared with."""
