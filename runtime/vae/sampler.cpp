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
    Tensor x, moments, z, images;
    std::vector<Tensor> codes;

    void bind(Plan& plan, const Weights& w) {
        plan.bind(w.flat, parameters.buffer(), parameters.offset_bytes(Parameters::Region::weights));
    }
    void build_encoder() {
        Graph g;
        Weights w = vae.add_weights(g);
        x = g.input({batch, vae.config().pixels()}, "x");
        moments = vae.encode(g, w, x);
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
        images = vae.mean(g, vae.decode(g, w, z));
        g.keep(images);
        decoder = std::make_unique<Plan>(device, g);
        bind(*decoder, w);
    }
};

Sampler::Sampler(Device& device, const Vae& vae, const Parameters& parameters, int64_t batch)
    : state_(new State{device, vae, parameters, batch, {}, {}, {}, {}, {}, {}, {}}) {
    require(batch > 0, "a sampler's batch must be positive");
}

Sampler::~Sampler() = default;

std::vector<float> Sampler::sample_latents(int64_t n, uint64_t seed, float temperature) {
    // On the host: bit-identical to the GPU's normals (shaders/common/random.glsl), and n D is small.
    if (state_->vae.config().vq)
        return latents_of(sample_codes(n, seed, temperature));
    int64_t latent = state_->vae.config().latent;
    require(n >= 0 && n <= (int64_t(1) << 32) / latent, n, " samples are more than the generator can count");
    std::vector<float> z(size_t(n * latent));
    for (size_t i = 0; i < z.size(); i++)
        z[i] = temperature * random_normal(seed, Stream::sample, 0, 0, uint32_t(i));
    return z;
}

namespace {

// Calls run(piece, count) with `in` cut into batches of `width` numbers a row, the last one filled up with zeros.
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
        run(piece, count);
    }
}

void append(std::vector<float>& all, const std::vector<float>& batch, int64_t numbers) {
    all.insert(all.end(), batch.begin(), batch.begin() + numbers);
}

} // namespace

std::vector<float> Sampler::decode(std::span<const float> z) {
    State& s = *state_;
    if (!s.decoder)
        s.build_decoder();
    std::vector<float> images;
    in_batches(z, s.vae.config().latent, s.batch, "z", [&](const std::vector<float>& piece, int64_t count) {
        s.decoder->write(s.z, std::span<const float>(piece));
        s.decoder->run();
        append(images, s.decoder->read(s.images), count * s.vae.config().pixels());
    });
    return images;
}

Sampler::Encoded Sampler::encode(std::span<const float> images) {
    State& s = *state_;
    if (!s.encoder)
        s.build_encoder();
    Encoded result;
    in_batches(images, s.vae.config().pixels(), s.batch, "x", [&](const std::vector<float>& piece, int64_t count) {
        s.encoder->write(s.x, std::span<const float>(piece));
        s.encoder->run();
        std::vector<float> moments = s.encoder->read(s.moments);
        int64_t latent = s.vae.config().latent;
        if (s.vae.config().vq)
            return append(result.mu, moments, count * latent);
        for (int64_t i = 0; i < count; i++) {
            auto mu = moments.begin() + 2 * i * latent, logvar = mu + latent;
            result.mu.insert(result.mu.end(), mu, logvar);
            result.logvar.insert(result.logvar.end(), logvar, logvar + latent);
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
    in_batches(images, s.vae.config().pixels(), s.batch, "x", [&](const std::vector<float>& piece, int64_t count) {
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
