// Generation: plans of encoder and decoder for a fixed batch; longer requests go through in pieces.
#include <algorithm>
#include <cmath>

#include "ops/philox.hpp"
#include "vae/quantizer.hpp"

namespace vkvae {

struct Sampler::State {
    Device& device;
    const Vae& vae;
    const Parameters& parameters;
    int64_t batch;
    // Built on first use: a sampler that only decodes never compiles an encoder.
    std::unique_ptr<Plan> encoder, decoder;
    Tensor x, x_labels, moments, z, z_labels, images;
    std::vector<Tensor> codes;
    std::optional<Encoded> pseudo; // posteriors of the prior's pseudo-inputs

    void bind(Plan& plan, const Weights& w) {
        plan.bind(w.flat, parameters.buffer(), parameters.offset_bytes(Parameters::Region::weights));
    }
    Tensor add_labels(Graph& g) {
        int64_t classes = vae.config().label_classes;
        return classes > 0 ? g.input({batch, classes}, "y") : Tensor{};
    }
    void build_encoder() {
        Graph g;
        Weights w = vae.add_weights(g);
        x = g.input({batch, vae.config().pixels()}, "x");
        x_labels = add_labels(g);
        moments = vae.encode(g, w, x, x_labels);
        if (vae.config().vq) {
            Quantized q = vae.quantize(g, w, moments);
            moments = q.z;
            codes = q.codes;
            for (Tensor t : codes)
                g.keep(t);
        }
        g.keep(moments);
        encoder = std::make_unique<Plan>(device, g);
        bind(*encoder, w);
    }
    void build_decoder() {
        Graph g;
        Weights w = vae.add_weights(g);
        z = g.input({batch, vae.config().latent}, "z");
        z_labels = add_labels(g);
        images = vae.mean(g, vae.decode(g, w, z, z_labels));
        g.keep(images);
        decoder = std::make_unique<Plan>(device, g);
        bind(*decoder, w);
    }
};

Sampler::Sampler(Device& device, const Vae& vae, const Parameters& parameters, int64_t batch)
    : state_(new State{device, vae, parameters, batch, {}, {}, {}, {}, {}, {}, {}, {}, {}, {}}) {
    require(batch > 0, "a sampler's batch must be positive");
}

Sampler::~Sampler() = default;

std::vector<float> one_hot(std::span<const uint8_t> labels, int64_t classes) {
    std::vector<float> y(labels.size() * size_t(classes));
    for (size_t i = 0; i < labels.size(); i++) {
        if (labels[i] >= classes)
            fail(Status::usage, "there is no label ", int(labels[i]), ", the model has ", classes,
                 " classes, from 0 to ", classes - 1);
        y[i * size_t(classes) + labels[i]] = 1;
    }
    return y;
}

namespace {

// Calls run(piece, first, count) with `in` cut into batches of `width` numbers a row, the last one filled up with zeros.
template <class Run>
void in_batches(std::span<const float> in, int64_t width, int64_t batch, const char* what, Run run) {
    require(width > 0 && in.size() % size_t(width) == 0, what, " has ", in.size(), " numbers, not a multiple of ",
            width);
    int64_t n = int64_t(in.size()) / width;
    std::vector<float> piece(size_t(batch * width));
    for (int64_t first = 0; first < n; first += batch) {
        int64_t count = std::min(batch, n - first);
        std::fill(piece.begin(), piece.end(), 0.0f);
        std::copy_n(in.begin() + first * width, count * width, piece.begin());
        run(piece, first, count);
    }
}

void append(std::vector<float>& all, const std::vector<float>& batch, int64_t numbers) {
    all.insert(all.end(), batch.begin(), batch.begin() + numbers);
}

void check_labels(const ModelConfig& c, size_t numbers, int64_t width, std::span<const uint8_t> labels) {
    size_t n = numbers / size_t(width);
    if (c.label_classes == 0 && !labels.empty())
        fail(Status::usage, "the model is not conditional, it takes no labels");
    if (c.label_classes > 0 && labels.size() != n)
        fail(Status::usage, "the model is conditional: it needs ", n, " labels, and got ", labels.size());
}

void write_labels(Plan& plan, Tensor y, int64_t classes, int64_t batch, std::span<const uint8_t> labels) {
    if (!y)
        return;
    std::vector<uint8_t> all(size_t(batch), 0);
    std::copy(labels.begin(), labels.end(), all.begin());
    plan.write(y, std::span<const float>(one_hot(all, classes)));
}

} // namespace

std::vector<float> Sampler::sample_latents(int64_t n, uint64_t seed, std::span<const float> temperatures) {
    // On the host: bit-identical to the GPU's normals (shaders/common/random.glsl), and n D is small.
    const Vae& vae = state_->vae;
    if (vae.config().vq) {
        if (temperatures.size() != 1)
            fail(Status::usage, temperatures.size(), " temperatures for codes, which have one");
        return latents_of(sample_codes(n, seed, temperatures[0]));
    }
    int64_t latent = vae.config().latent;
    const std::vector<int64_t>& widths = vae.level_widths();
    require(n >= 0 && n <= (int64_t(1) << 32) / latent, n, " samples are more than the generator can count");
    if (temperatures.size() != 1 && temperatures.size() != widths.size())
        fail(Status::usage, temperatures.size(), " temperatures for ", widths.size(), " levels of latents");
    std::vector<float> scale; // of each number of a sample
    for (size_t i = 0; i < widths.size(); i++)
        scale.insert(scale.end(), size_t(widths[i]), temperatures[temperatures.size() == 1 ? 0 : i]);
    std::vector<float> z(size_t(n * latent));
    for (size_t i = 0; i < z.size(); i++)
        z[i] = scale[i % size_t(latent)] * random_normal(seed, Stream::sample, 0, 0, uint32_t(i));
    if (vae.config().prior == "vamp")
        add_pseudo_posteriors(z, seed);
    return z;
}

// z = mu_k + sigma_k z with a pseudo-input k for each.
void Sampler::add_pseudo_posteriors(std::vector<float>& z, uint64_t seed) {
    State& s = *state_;
    if (!s.pseudo) {
        Graph g;
        Weights w = s.vae.add_weights(g);
        Tensor inputs = s.vae.pseudo_inputs(g, w);
        g.keep(inputs);
        Plan plan(s.device, g);
        s.bind(plan, w);
        plan.run();
        s.pseudo = encode(plan.read(inputs));
    }
    size_t latent = size_t(s.vae.config().latent), components = s.pseudo->mu.size() / latent;
    for (size_t i = 0; i < z.size(); i++) {
        float u = random_uniform(seed, Stream::sample, 0, 1, uint32_t(i / latent));
        size_t at = std::min(size_t(u * float(components)), components - 1) * latent + i % latent;
        z[i] = s.pseudo->mu[at] + std::exp(0.5f * std::clamp(s.pseudo->logvar[at], -30.0f, 20.0f)) * z[i];
    }
}

std::vector<float> Sampler::decode(std::span<const float> z, std::span<const uint8_t> labels) {
    State& s = *state_;
    const ModelConfig& c = s.vae.config();
    check_labels(c, z.size(), c.latent, labels);
    if (!s.decoder)
        s.build_decoder();
    std::vector<float> images;
    in_batches(z, c.latent, s.batch, "z", [&](const std::vector<float>& piece, int64_t first, int64_t count) {
        s.decoder->write(s.z, std::span<const float>(piece));
        if (s.z_labels)
            write_labels(*s.decoder, s.z_labels, c.label_classes, s.batch, labels.subspan(size_t(first), size_t(count)));
        s.decoder->run();
        append(images, s.decoder->read(s.images), count * c.pixels());
    });
    return images;
}

Sampler::Encoded Sampler::encode(std::span<const float> images, std::span<const uint8_t> labels) {
    State& s = *state_;
    const ModelConfig& c = s.vae.config();
    check_labels(c, images.size(), c.pixels(), labels);
    if (!s.encoder)
        s.build_encoder();
    Encoded result;
    in_batches(images, c.pixels(), s.batch, "x", [&](const std::vector<float>& piece, int64_t first, int64_t count) {
        s.encoder->write(s.x, std::span<const float>(piece));
        if (s.x_labels)
            write_labels(*s.encoder, s.x_labels, c.label_classes, s.batch, labels.subspan(size_t(first), size_t(count)));
        s.encoder->run();
        std::vector<float> moments = s.encoder->read(s.moments);
        if (c.vq)
            return append(result.mu, moments, count * c.latent);
        for (int64_t i = 0; i < count; i++) {
            auto mu = moments.begin() + 2 * i * c.latent, logvar = mu + c.latent;
            result.mu.insert(result.mu.end(), mu, logvar);
            result.logvar.insert(result.logvar.end(), logvar, logvar + c.latent);
        }
    });
    return result;
}

std::vector<uint32_t> Sampler::encode_codes(std::span<const float> images) {
    State& s = *state_;
    const VqConfig& vq = s.vae.config().vq;
    require(bool(vq), "only a vq posterior has codes");
    if (!s.encoder)
        s.build_encoder();
    std::vector<uint32_t> all;
    in_batches(images, s.vae.config().pixels(), s.batch, "x", [&](const std::vector<float>& piece, int64_t, int64_t count) {
        s.encoder->write(s.x, std::span<const float>(piece));
        s.encoder->run();
        std::vector<uint32_t> empty(size_t(s.batch * vq.positions()));
        std::vector<std::vector<uint32_t>> maps(s.codes.size(), empty);
        for (size_t level = 0; level < maps.size(); level++)
            s.encoder->read(s.codes[level], std::as_writable_bytes(std::span(maps[level])));
        for (int64_t i = 0; i < count; i++)
            for (const std::vector<uint32_t>& map : maps)
                all.insert(all.end(), map.begin() + i * vq.positions(), map.begin() + (i + 1) * vq.positions());
    });
    return all;
}

std::vector<uint32_t> Sampler::sample_codes(int64_t n, uint64_t seed, float temperature) {
    require(bool(state_->vae.config().vq), "only a vq posterior has codes");
    return draw_codes(state_->vae, state_->parameters, n, state_->batch, seed, temperature);
}

std::vector<float> Sampler::latents_of(std::span<const uint32_t> codes) const {
    const VqConfig& vq = state_->vae.config().vq;
    size_t map = size_t(vq.positions()), one = map * size_t(vq.levels), dim = size_t(vq.dim);
    require(bool(vq) && codes.size() % one == 0, codes.size(), " codes are not a multiple of ", one);
    std::vector<float> z(codes.size() / size_t(vq.levels) * dim);
    for (int64_t level = 0; level < vq.levels; level++) {
        std::vector<float> book =
            state_->parameters.read(parameter_named(state_->parameters, codebook_name(level, "codes")));
        for (size_t place = 0; place < z.size() / dim; place++) {
            uint32_t code = codes[place / map * one + size_t(level) * map + place % map];
            require(code < vq.codes, "the code ", code, " is not one of ", vq.codes);
            for (size_t d = 0; d < dim; d++)
                z[place * dim + d] += book[code * dim + d];
        }
    }
    return z;
}

std::vector<float> interpolate(std::span<const float> a, std::span<const float> b, float t, bool spherical) {
    require(a.size() == b.size(), "interpolation between ", a.size(), " and ", b.size(), " numbers");
    double dot = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); i++) {
        dot += double(a[i]) * b[i];
        aa += double(a[i]) * a[i];
        bb += double(b[i]) * b[i];
    }
    double cosine = aa > 0 && bb > 0 ? dot / std::sqrt(aa * bb) : 1;
    double angle = std::acos(std::clamp(cosine, -1.0, 1.0)), sine = std::sin(angle);
    bool use_angle = spherical && sine > 1e-3;
    double wa = use_angle ? std::sin((1 - t) * angle) / sine : 1 - t;
    double wb = use_angle ? std::sin(t * angle) / sine : t;
    std::vector<float> z(a.size());
    for (size_t i = 0; i < a.size(); i++)
        z[i] = float(wa * a[i] + wb * b[i]);
    return z;
}

} // namespace vkvae
