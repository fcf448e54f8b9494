"""What only staff run, and no package ships: validate, calibrate, check, package.

The command line imports it where a command is called; nothing that ships does.
"""
