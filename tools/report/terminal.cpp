// The terminal behind stderr: width, cursor, and the signals after which the cursor must be visible again.
#include "report/terminal.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

#if !defined(_WIN32)
#include <cerrno>
#include <csignal>
#include <sys/ioctl.h>
#include <unistd.h>
#endif

namespace vkvae {

bool environment_has(const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
}

// The name is enough: asking the C library would need setlocale(), which changes how numbers print.
bool locale_is_utf8() {
    for (const char* name : {"LC_ALL", "LC_CTYPE", "LANG"}) {
        const char* text = std::getenv(name);
        if (text == nullptr || *text == '\0')
            continue; // the next one counts
        std::string value = text;
        std::transform(value.begin(), value.end(), value.begin(),
                       [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
        return value.find("utf-8") != std::string::npos || value.find("utf8") != std::string::npos;
    }
    return false;
}

void write_stderr(std::string_view text) {
    std::fwrite(text.data(), 1, text.size(), stderr);
    std::fflush(stderr);
}

#if defined(_WIN32)

bool stderr_is_terminal() {
    return false;
}
int terminal_columns() {
    return 80;
}
bool in_background() {
    return false;
}
void hide_cursor() {}
void restore_terminal() noexcept {}
void guard_terminal() {}
void unguard_terminal() {}

#else

namespace {

// The one piece of global state: a signal handler has no other way to know.
volatile std::sig_atomic_t cursor_hidden = 0;

constexpr int kFatalSignals[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGABRT};

void install(int signal, void (*handler)(int), int flags) {
    struct sigaction action {};
    action.sa_handler = handler;
    action.sa_flags = flags;
    sigemptyset(&action.sa_mask);
    sigaction(signal, &action, nullptr);
}

bool has_handler(int signal, void (*handler)(int)) {
    struct sigaction action {};
    return sigaction(signal, nullptr, &action) == 0 && (action.sa_flags & SA_SIGINFO) == 0 &&
           action.sa_handler == handler;
}

// SA_RESETHAND has put the default action back: raising again ends the process with the right status.
void on_fatal_signal(int signal) {
    restore_terminal();
    raise(signal);
}

void on_suspend(int signal) {
    const int saved_errno = errno;
    restore_terminal();
    install(signal, SIG_DFL, 0);
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signal);
    raise(signal);                           // stays pending: a signal is blocked while its handler runs
    sigprocmask(SIG_UNBLOCK, &set, nullptr); // stops here, and goes on from here after SIGCONT
    install(signal, on_suspend, SA_RESTART);
    errno = saved_errno;
}

} // namespace

bool stderr_is_terminal() {
    const char* term = std::getenv("TERM");
    return isatty(STDERR_FILENO) == 1 && term != nullptr && std::strcmp(term, "dumb") != 0;
}

int terminal_columns() {
    winsize size{};
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return 80;
    return size.ws_col;
}

bool in_background() {
    const pid_t foreground = tcgetpgrp(STDERR_FILENO);
    return foreground > 0 && foreground != getpgrp();
}

void hide_cursor() {
    cursor_hidden = 1;
    write_stderr("\033[?25l");
}

void restore_terminal() noexcept {
    if (cursor_hidden == 0)
        return;
    cursor_hidden = 0;
    constexpr std::string_view kShow = "\033[?25h";
    const ssize_t written = write(STDERR_FILENO, kShow.data(), kShow.size());
    static_cast<void>(written); // nothing to be done about a terminal that is gone
}

void guard_terminal() {
    static const int registered = std::atexit([] { restore_terminal(); });
    static_cast<void>(registered);
    for (const int signal : kFatalSignals)
        if (has_handler(signal, SIG_DFL))
            install(signal, on_fatal_signal, static_cast<int>(SA_RESETHAND));
    if (has_handler(SIGTSTP, SIG_DFL))
        install(SIGTSTP, on_suspend, SA_RESTART);
}

void unguard_terminal() {
    for (const int signal : kFatalSignals)
        if (has_handler(signal, on_fatal_signal))
            install(signal, SIG_DFL, 0);
    if (has_handler(SIGTSTP, on_suspend))
        install(SIGTSTP, SIG_DFL, 0);
}

#endif

} // namespace vkvae
