"""The subcommands of the sealgate program, one file each; gateway.cli lists them."""
