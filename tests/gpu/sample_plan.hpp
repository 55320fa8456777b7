// A small network with its gradients, to be run by devices of all kinds: every driver of products, folding, noise.
#pragma once

#include "op_check.hpp"

#include <cstdlib>

namespace vkvae::test {

struct SampleNetwork {
    Graph graph;
    Tensor x, kernel, weight, gamma, beta, loss;
    std::vector<Tensor> outputs;

    SampleNetwork() {
        x = graph.input({2, 9, 9, 3}, "x");
        kernel = graph.input({3, 3, 3, 8}, "kernel");
        weight = graph.input({200, 40}, "weight");
        gamma = graph.input({8}, "gamma");
        beta = graph.input({8}, "beta");
        Tensor h = conv2d(graph, x, kernel, {}, Conv2d::same_sides(2, 1));
        h = activate(graph, group_norm(graph, h, gamma, beta, 2), Activation::silu);
        h = linear(graph, reshape(graph, h, {2, 200}), weight);
        Rsample r = rsample(graph, h);
        loss = add(graph, mean(graph, mul(graph, r.z, r.z)), mean(graph, r.kl));
        Tensor wrt[] = {kernel, weight, gamma};
        outputs = graph.backward(loss, wrt);
        outputs.push_back(r.z);
        outputs.push_back(loss);
        for (Tensor t : outputs)
            graph.keep(t);
    }
    void write_inputs(Plan& plan) const {
        uint32_t which = 0;
        for (Tensor t : {x, kernel, weight, gamma, beta})
            plan.write(t, std::span<const float>(make_values({graph.shape(t)}, which++)));
    }
    std::vector<float> read_outputs(Plan& plan) const {
        std::vector<float> all;
        for (Tensor t : outputs) {
            std::vector<float> values = plan.read(t);
            all.insert(all.end(), values.begin(), values.end());
        }
        return all;
    }
};

inline std::vector<float> run_sample_network(Device& device) {
    SampleNetwork network;
    Plan plan(device, network.graph, plan_options());
    network.write_inputs(plan);
    plan.run({.step = 3, .seed_lo = 5});
    return network.read_outputs(plan);
}

// f32 in another order of additions.
inline void check_same_results(std::span<const float> got, std::span<const float> expected) {
    check_close("network", got, to_double(expected), 1e-5, 1e-11);
}

// An environment variable for as long as the object lives.
class Environment {
  public:
    Environment(const char* name, const char* value) : name_(name) {
        const char* before = std::getenv(name);
        had_ = before != nullptr;
        before_ = before ? before : "";
        setenv(name, value, 1);
    }
    Environment(const Environment&) = delete;
    ~Environment() {
        if (had_)
            setenv(name_, before_.c_str(), 1);
        else
            unsetenv(name_);
    }

  private:
    const char* name_;
    bool had_;
    std::string before_;
};

} // namespace vkvae::test
