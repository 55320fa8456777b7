// The command line tool: one file per verb, listed here.
#include <cstdio>
#include <iostream>

#include "vkvae/common.hpp"
#include "vkvae/verbs.hpp"
#include "vkvae/version.hpp"

using namespace vkvae;

namespace {

const Verb kVerbs[] = {
    {"devices", add_devices},         {"train", add_train},       {"resume", add_resume},
    {"sample", add_sample},           {"reconstruct", add_reconstruct}, {"interpolate", add_interpolate},
    {"traverse", add_traverse},       {"encode", add_encode},     {"decode", add_decode},
    {"arithmetic", add_arithmetic},   {"neighbors", add_neighbors}, {"project", add_project},
    {"morph", add_morph},             {"augment", add_augment},   {"compress", add_compress},
    {"decompress", add_decompress},   {"eval", add_eval},         {"score", add_score},
    {"info", add_info},               {"dataset", add_dataset},   {"bench", add_bench},
};

// CLI11 would only say that a subcommand is required.
void check_verb(const std::string& word) {
    std::string known;
    for (const Verb& verb : kVerbs) {
        if (word == verb.name)
            return;
        known += concat_text(known.empty() ? "" : ", ", verb.name);
    }
    fail(Status::usage, "there is no verb '", word, "'; the verbs are ", known);
}

int give_up(Status status, std::string message) {
    // What nlohmann-json puts in front of its sentences is for programmers.
    size_t begin = message.find("[json.exception."), end = message.find("] ", begin);
    if (begin != std::string::npos && end != std::string::npos)
        message.erase(begin, end + 2 - begin);
    std::fprintf(stderr, "vkvae: %s\n", message.c_str());
    return int(status);
}

} // namespace

int main(int argc, char** argv) {
    CLI::App app("vkvae: variational autoencoders on any Vulkan GPU");
    app.set_version_flag("--version", std::string("vkvae ") + kVersion);
    app.require_subcommand(1);
    app.option_defaults()->always_capture_default(false);
    for (const Verb& verb : kVerbs)
        verb.add(app);
    try {
        if (argc > 1 && argv[1][0] != '-')
            check_verb(argv[1]);
        app.parse(argc, argv); // runs the verb
        std::cout << std::flush;
        if (!std::cout || std::fflush(stdout) != 0 || std::ferror(stdout))
            fail(Status::runtime, "the output could not be written");
        return int(Status::ok);
    } catch (const CLI::ParseError& error) {
        return app.exit(error) == 0 ? int(Status::ok) : int(Status::usage);
    } catch (const Error& error) {
        return give_up(error.status(), error.what());
    } catch (const nlohmann::json::exception& error) {
        return give_up(Status::data, concat_text("a JSON file does not hold what it should: ", error.what()));
    } catch (const std::bad_alloc&) {
        return give_up(Status::runtime, "out of memory");
    } catch (const std::exception& error) {
        return give_up(Status::runtime, error.what());
    }
}
