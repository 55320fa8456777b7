// What the progress display needs from the terminal behind stderr: its width, and a cursor that always comes back.
#pragma once

#include <string_view>

namespace vkvae {

// False for pipes and files, for TERM=dumb, and on Windows, whose console would need its own mode switches.
bool stderr_is_terminal();

// 80 when the terminal does not say.
int terminal_columns();

// True for a job in the background, which must not draw over what the user types.
bool in_background();

// True when the locale's name asks for UTF-8.
bool locale_is_utf8();

// True when the environment variable exists and is not empty.
bool environment_has(const char* name);

// Writes to stderr at once, in one piece, so that lines do not tear.
void write_stderr(std::string_view text);

void hide_cursor();
// Shows the cursor if hide_cursor() hid it. Safe to call from a signal handler.
void restore_terminal() noexcept;

// From guard to unguard, the cursor also comes back on exit(), on Ctrl-Z and on fatal signals, as far as nobody else
// handles them.
void guard_terminal();
void unguard_terminal();

} // namespace vkvae
