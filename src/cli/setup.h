/*
 * setup.h: the commands about identity: setup, login, logout. Each returns an exit code.
 */
#ifndef KAL_CLI_SETUP_H
#define KAL_CLI_SETUP_H

#include "cli/session.h"

/* Root's password and the first dba, with the one-time token from the server's data directory; then
 * logs that user in. */
int kal_cli_setup(kal_session *session);
int kal_cli_login(kal_session *session);
int kal_cli_logout(kal_session *session);

#endif
