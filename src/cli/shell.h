/*
 * shell.h: the prompt of kalam.
 */
#ifndef KAL_CLI_SHELL_H
#define KAL_CLI_SHELL_H

#include "cli/session.h"

/* Reads statements and commands until \q or the end of input. Errors do not end it. Returns an exit
 * code: KAL_EXIT_OK, or KAL_EXIT_CONNECTION when the terminal cannot be used. */
int kal_shell_run(kal_session *session);

#endif
