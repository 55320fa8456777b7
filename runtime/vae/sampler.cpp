// Generation: plans of encoder and decoder for a fixed batch; longer requests go through in pieces.
#include <algorithm>
#include <cmath>

#include "ops/philox.hpp"
#include "vkvae/vae.hpp"

namespace vkvae {

struct Sampler::State {
    Device& device;
    const Vae& vae;
    const Parameters& parameters;
    int64_t batch;
    // Built on first use: a sampler that only decodes never compiles an encoder.
    std::unique_ptr<Plan> encoder, decoder;
    Tensor x, moments, z, images;

    void bind(Plan& plan, const Weights& w) {
        plan.bind(w.flat, parameters.buffer(), parameters.offset_bytes(Parameters::Region::weights));
    }
    void build_encoder() {
        Graph g;
        Weights w = vae.add_weights(g);
        x = g.input({batch, vae.config().pixels()}, "x");
        moments = vae.encode(g, w, x);
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
    : state_(new State{device, vae, parameters, batch, {}, {}, {}, {}, {}, {}}) {
    require(batch > 0, "a sampler's batch must be positive");
}

Sampler::~Sampler() = default;

std::vector<float> Sampler::sample_latents(int64_t n, uint64_t seed, float temperature) {
    // On the host: bit-identical to the GPU's normals (shaders/common/random.glsl), and n D is small.
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
        for (int64_t i = 0; i < count; i++) {
            auto mu = moments.begin() + 2 * i * latent, logvar = mu + latent;
            result.mu.insert(result.mu.end(), mu, logvar);
            result.logvar.insert(result.logvar.end(), logvar, logvar + latent);
        }
    });
    return result;
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
