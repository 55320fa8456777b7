// Runs the tests; a message of the validation layer fails the run, whatever the tests themselves say.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "device.hpp"

#include <cstdlib>
#include <cstring>
#include <iostream>

namespace vkvae::test {
namespace {

std::unique_ptr<Device> shared_device;

} // namespace

std::vector<std::string>& validation_messages() {
    static std::vector<std::string> messages;
    return messages;
}

DeviceOptions test_options() {
    DeviceOptions options;
    options.message = [](const char* text) { validation_messages().push_back(text); };
    return options;
}

Device& test_device() {
    if (!shared_device)
        shared_device = Device::create(test_options());
    return *shared_device;
}

void close_test_device() { shared_device.reset(); }

bool sharing_allowed() {
    const char* text = std::getenv("VKVAE_NO_ALIAS");
    return !text || std::strcmp(text, "1") != 0;
}

PlanOptions plan_options(uint32_t max_steps, bool alias) {
    return {.alias = alias && sharing_allowed(), .max_steps = max_steps};
}

} // namespace vkvae::test

namespace {

size_t reported = 0;

void report_messages(const char* when) {
    const std::vector<std::string>& messages = vkvae::test::validation_messages();
    for (; reported < messages.size(); reported++)
        std::cerr << "\nVALIDATION (" << when << "): " << messages[reported] << "\n";
}

// Prints a message under the test that caused it.
struct MessageListener : doctest::IReporter {
    const char* name = "";
    explicit MessageListener(const doctest::ContextOptions&) {}
    void report_query(const doctest::QueryData&) override {}
    void test_run_start() override {}
    void test_run_end(const doctest::TestRunStats&) override {}
    void test_case_start(const doctest::TestCaseData& data) override { name = data.m_name; }
    void test_case_reenter(const doctest::TestCaseData&) override {}
    void test_case_end(const doctest::CurrentTestCaseStats&) override { report_messages(name); }
    void test_case_exception(const doctest::TestCaseException&) override {}
    void subcase_start(const doctest::SubcaseSignature&) override {}
    void subcase_end() override {}
    void log_assert(const doctest::AssertData&) override {}
    void log_message(const doctest::MessageData&) override {}
    void test_case_skipped(const doctest::TestCaseData&) override {}
};
REGISTER_LISTENER("messages", 1, MessageListener);

} // namespace

int main(int argc, char** argv) {
    doctest::Context context(argc, argv);
    int result = context.run();
    vkvae::test::close_test_device();
    report_messages("clean-up");
    if (reported)
        std::cerr << "\n" << reported << " messages of the validation layer\n";
    return result ? result : reported ? 1 : 0;
}
