// A model as PyTorch sees it: images (C, H, W), weights in the layouts of the file, in double, one sample at a time.
// Shares nothing with the library but the parsed configuration, so that a permutation gone wrong cannot cancel out.
#pragma once

#include "reference.hpp"
#include "vkvae/vae.hpp"

#include <map>

namespace vkvae::test {

using reference::Values;

class NchwTwin {
  public:
    // Reads the weights as a checkpoint would.
    NchwTwin(const ModelConfig& config, const Parameters& parameters) : config_(config) {
        for (const Parameter& p : parameters.list()) {
            std::vector<float> values = parameters.read(p);
            weights_[p.name] = Values(values.begin(), values.end());
        }
    }
    struct Encoded {
        Values mu, logvar; // (D)
    };
    Encoded encode(const Values& chw) const {
        State s = run("encoder", config_.levels[0].encoder, {chw, config_.channels, config_.height, config_.width});
        return {linear(s.x, "fc_mu"), linear(s.x, "fc_logvar")};
    }
    Values decode(const Values& z) const { return run("decoder", config_.levels[0].decoder, {z, 0, 0, 0}).x; } // (C, H, W)

  private:
    struct State {
        Values x;
        int64_t c, h, w; // c = 0: flat
    };

    Values weight(const std::string& name) const {
        auto found = weights_.find(name);
        return found == weights_.end() ? Values() : found->second;
    }
    // Weight (out, in).
    Values linear(const Values& x, const std::string& layer) const {
        Values w = weight(layer + ".weight"), y = weight(layer + ".bias");
        y.resize(w.size() / x.size(), 0);
        for (size_t o = 0; o < y.size(); o++)
            for (size_t i = 0; i < x.size(); i++)
                y[o] += w[o * x.size() + i] * x[i];
        return y;
    }
    // Weight (out, in, KH, KW).
    State conv2d(const State& s, const Layer& l, const std::string& layer) const {
        Values w = weight(layer + ".weight"), bias = weight(layer + ".bias");
        int64_t k = l.kernel, oh = (s.h + l.padding[0] + l.padding[2] - k) / l.stride + 1,
                ow = (s.w + l.padding[1] + l.padding[3] - k) / l.stride + 1;
        State y = {Values(size_t(l.out * oh * ow)), l.out, oh, ow};
        for (int64_t o = 0; o < l.out; o++)
            for (int64_t at = 0; at < oh * ow; at++) {
                double sum = bias.empty() ? 0 : bias[size_t(o)];
                for (int64_t i = 0; i < s.c * k * k; i++) {
                    int64_t row = at / ow * l.stride - l.padding[0] + i / k % k;
                    int64_t column = at % ow * l.stride - l.padding[1] + i % k;
                    if (row >= 0 && row < s.h && column >= 0 && column < s.w)
                        sum += w[size_t(o * s.c * k * k + i)] * s.x[size_t((i / k / k * s.h + row) * s.w + column)];
                }
                y.x[size_t(o * oh * ow + at)] = sum;
            }
        return y;
    }
    // Weight (in, out, KH, KW): every input pixel stamps its kernel.
    State conv_transpose2d(const State& s, const Layer& l, const std::string& layer) const {
        Values w = weight(layer + ".weight"), bias = weight(layer + ".bias");
        int64_t k = l.kernel, oh = (s.h - 1) * l.stride - l.padding[0] - l.padding[2] + k + l.output_padding,
                ow = (s.w - 1) * l.stride - l.padding[1] - l.padding[3] + k + l.output_padding;
        State y = {Values(size_t(l.out * oh * ow)), l.out, oh, ow};
        for (size_t i = 0; i < y.x.size() && !bias.empty(); i++)
            y.x[i] = bias[i / size_t(oh * ow)];
        for (int64_t from = 0; from < s.c * s.h * s.w; from++)
            for (int64_t i = 0; i < l.out * k * k; i++) {
                int64_t row = from / s.w % s.h * l.stride - l.padding[0] + i / k % k;
                int64_t column = from % s.w * l.stride - l.padding[1] + i % k;
                if (row >= 0 && row < oh && column >= 0 && column < ow)
                    y.x[size_t((i / k / k * oh + row) * ow + column)] +=
                        s.x[size_t(from)] * w[size_t(from / s.w / s.h * l.out * k * k + i)];
            }
        return y;
    }
    // Over `groups` runs of consecutive channels with all their positions.
    State group_norm(State s, const Layer& l, const std::string& layer) const {
        Values gamma = weight(layer + ".weight"), beta = weight(layer + ".bias");
        size_t area = s.x.size() / gamma.size(), run = s.x.size() / size_t(l.groups);
        for (size_t begin = 0; begin < s.x.size(); begin += run)
            normalise(s.x, begin, 1, run, l.eps);
        for (size_t i = 0; i < s.x.size(); i++)
            s.x[i] = s.x[i] * gamma[i / area] + beta[i / area];
        return s;
    }
    // Over the channels of each position, or over all flat features.
    State layer_norm(State s, const Layer& l, const std::string& layer) const {
        Values gamma = weight(layer + ".weight"), beta = weight(layer + ".bias");
        size_t area = s.x.size() / gamma.size();
        for (size_t at = 0; at < area; at++)
            normalise(s.x, at, area, gamma.size(), l.eps);
        for (size_t i = 0; i < s.x.size(); i++)
            s.x[i] = s.x[i] * gamma[i / area] + beta[i / area];
        return s;
    }
    static void normalise(Values& x, size_t begin, size_t stride, size_t count, double eps) {
        double mean = 0, variance = 0;
        for (size_t i = 0; i < count; i++)
            mean += x[begin + i * stride] / double(count);
        for (size_t i = 0; i < count; i++)
            variance += (x[begin + i * stride] - mean) * (x[begin + i * stride] - mean) / double(count);
        for (size_t i = 0; i < count; i++)
            x[begin + i * stride] = (x[begin + i * stride] - mean) / std::sqrt(variance + eps);
    }
    static State upsample(const State& s) {
        State y = {Values(4 * s.x.size()), s.c, 2 * s.h, 2 * s.w};
        for (int64_t i = 0; i < int64_t(y.x.size()); i++)
            y.x[size_t(i)] =
                s.x[size_t((i / (4 * s.w * s.h) * s.h + i / (2 * s.w) % (2 * s.h) / 2) * s.w + i % (2 * s.w) / 2)];
        return y;
    }

    static int stride_of(const std::vector<Layer>& layers) {
        int stride = 1;
        for (const Layer& l : layers)
            stride *= l.type == "residual" ? stride_of(l.layers) : l.type == "conv2d" ? l.stride : 1;
        return stride;
    }
    // The stack's result and what it was given, projected if there is a shortcut's weight.
    State residual(const State& s, const Layer& l, const std::string& layer) const {
        State y = run(layer, l.layers, s), x = s;
        if (!weight(layer + ".shortcut.weight").empty() && s.c == 0)
            x.x = linear(s.x, layer + ".shortcut");
        else if (!weight(layer + ".shortcut.weight").empty()) {
            Layer one;
            one.out = y.c, one.kernel = 1, one.stride = y.h == s.h && y.w == s.w ? 1 : stride_of(l.layers);
            x = conv2d(s, one, layer + ".shortcut");
        }
        if (x.x.size() != y.x.size() || x.c != y.c || x.h != y.h)
            fail(Status::runtime, "the twin's shortcut does not fit");
        for (size_t i = 0; i < y.x.size(); i++)
            y.x[i] += x.x[i];
        return y;
    }

    State run(const std::string& stack, const std::vector<Layer>& layers, State s) const {
        for (size_t i = 0; i < layers.size(); i++) {
            const Layer& l = layers[i];
            std::string name = concat_text(stack, ".layers.", i);
            if (l.type == "linear")
                s = {linear(s.x, name), 0, 0, 0};
            else if (l.type == "conv2d")
                s = conv2d(s, l, name);
            else if (l.type == "conv_transpose2d")
                s = conv_transpose2d(s, l, name);
            else if (l.type == "group_norm")
                s = group_norm(s, l, name);
            else if (l.type == "layer_norm")
                s = layer_norm(s, l, name);
            else if (l.type == "upsample")
                s = upsample(s);
            else if (l.type == "residual")
                s = residual(s, l, name);
            else if (l.type == "flatten")
                s = {s.x, 0, 0, 0};
            else if (l.type == "reshape") // as nn.Unflatten(1, (C, H, W))
                s = {s.x, l.shape[2], l.shape[0], l.shape[1]};
            else if (l.type != "activation")
                fail(Status::runtime, "the twin has no layer ", l.type);
            for (const auto& [word, activation] : kWords)
                if (l.activation != Activation::none && word == activation_name(l.activation))
                    s.x = reference::activate(activation, s.x);
        }
        return s;
    }

    inline static const std::map<std::string, reference::Activation> kWords = {
        {"relu", reference::Activation::relu}, {"leaky_relu", reference::Activation::leaky_relu},
        {"elu", reference::Activation::elu},   {"silu", reference::Activation::silu},
        {"gelu", reference::Activation::gelu}, {"sigmoid", reference::Activation::sigmoid},
        {"tanh", reference::Activation::tanh}, {"softplus", reference::Activation::softplus}};
    ModelConfig config_;
    std::map<std::string, Values> weights_;
};

} // namespace vkvae::test
