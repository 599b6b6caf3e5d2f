"""The board: one screen to live in for a night. Only this room imports textual; asyncio lives here only.

Must never fetch from a widget, change anything outside of `opsctl.actions`, or show text from outside uncleaned.
"""
