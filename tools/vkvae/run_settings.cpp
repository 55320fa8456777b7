// The settings of a run, to and from its config.json.
#include <charconv>
#include <cstdlib>

#include "vkvae/run.hpp"

namespace vkvae {

double tidy(float value) {
    char text[32];
    std::to_chars_result end = std::to_chars(text, text + sizeof(text) - 1, value);
    *end.ptr = 0;
    return std::strtod(text, nullptr);
}

int64_t RunSettings::epoch_end(int64_t epoch, int64_t count) const {
    return (epoch * count + train.batch - 1) / train.batch;
}

int64_t RunSettings::total_steps(int64_t count) const { return steps > 0 ? steps : epoch_end(epochs, count); }

Json to_json(const RunSettings& s) {
    return {{"epochs", s.epochs},
            {"steps", s.steps},
            {"batch", s.train.batch},
            {"lr", tidy(s.train.lr)},
            {"optimizer", s.train.optimizer},
            {"momentum", tidy(s.train.momentum)},
            {"weight_decay", tidy(s.train.weight_decay)},
            {"beta", s.train.beta ? Json(tidy(*s.train.beta)) : Json(nullptr)},
            {"lr_schedule", s.train.lr_schedule},
            {"lr_warmup", s.train.lr_warmup},
            {"clip_norm", tidy(s.train.clip_norm)},
            {"precision", type_name(s.train.precision)},
            {"save_every", s.save_every},
            {"keep", s.keep},
            {"log_every", s.log_every}};
}

// config.json may have been edited by hand.
RunSettings settings_from(const Json& config) {
    try {
        RunSettings s;
        const Json &t = config.at("train"), &d = config.at("data");
        s.model_json = config.at("model").dump();
        s.data.source = d.at("source");
        s.data.split = d.value("split", "train");
        s.fingerprint = d.at("fingerprint");
        s.test_fingerprint = d.at("test_fingerprint");
        s.data.binarize = d.at("binarize");
        s.data.limit = d.at("limit");
        s.data.with_labels = d.value("with_labels", s.data.with_labels);
        s.data.without_labels = d.value("without_labels", s.data.without_labels);
        s.epochs = t.at("epochs");
        s.steps = t.at("steps");
        s.save_every = t.at("save_every");
        s.keep = t.at("keep");
        s.log_every = t.at("log_every");
        s.train.batch = t.at("batch");
        s.train.lr = t.at("lr");
        s.train.optimizer = t.at("optimizer");
        s.train.momentum = t.at("momentum");
        s.train.weight_decay = t.at("weight_decay");
        if (!t.at("beta").is_null())
            s.train.beta = t.at("beta").get<float>();
        s.train.lr_schedule = t.value("lr_schedule", "constant");
        s.train.lr_warmup = t.value("lr_warmup", int64_t(0));
        s.train.clip_norm = t.at("clip_norm");
        s.precision = t.value("precision", "f32");
        s.data.seed = s.train.seed = config.at("seed");
        s.train.binarize = binarize_of(s.data);
        if (config.contains("tuning")) {
            s.tuned_for = config.at("tuning").at("for");
            s.tuning = config.at("tuning").at("choices").get<Tuning>();
        }
        require_data(s.epochs >= 1 && s.steps >= 0 && s.save_every >= 0 && s.log_every >= 0 && s.keep >= 1 &&
                         s.train.batch >= 1,
                     "the run's config.json does not describe a run: a count in it is out of range");
        return s;
    } catch (const nlohmann::json::exception& error) {
        fail(Status::data, "the run's config.json does not describe a run: ", error.what());
    }
}

} // namespace vkvae
