// What the benchmark runs: named pieces of work, each with the arithmetic and the traffic it cannot do without.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "vkvae/vae.hpp"

namespace vkvae {

// A piece of work on a device, ready to run.
struct Prepared {
    // n times in one submission, with the barriers of real use between; waits. The device's seconds, 0 if it has no clock.
    std::function<double(uint32_t n)> run;
    uint32_t most = 2048;                // largest n
    double flops = 0;                    // of one execution: 2 for each multiply-add of the products
    double bytes = 0;                    // compulsory: every input read once, every result written once
    double levels = 1;                   // dispatches that wait for each other
    double executions = 1;               // that one run counts as
    std::string cannot;                  // why it does not run on this device; the rest is then empty
};

struct Workload {
    std::string name;
    bool whole = false; // a training step or a decoder: compulsory bytes say nothing about its bandwidth
    std::function<Prepared(Device&, const TrainOptions& how)> prepare; // its precision and autotune count
    bool mixed = true;  // whether there is such a thing in 16 bits
    bool heavy = false; // takes a minute on a CPU, which measures it only if it is asked for by name
};

// The first three, in this order, are the ceilings that the floors of all others are made of.
enum Ceiling : size_t { kFma, kCopy, kDispatch, kCeilings };
std::vector<Workload> workloads();
void add_models(std::vector<Workload>& list); // training steps and decoders

constexpr int64_t kBatch = 128; // of the models, if they are not too large for it, and of the operations taken from them

// [0, 1), repeating: enough that nothing can be guessed, little enough to be drawn at once.
float noise(size_t i);
// Runs the graph; its inputs hold noise, as zeros would spare a GPU's power budget.
Prepared prepare_graph(Device& device, const Graph& graph, DType precision = DType::f32, uint32_t most = 2048,
                       float amplitude = 1);

// Multiply-adds of all products in the graph, times 2.
double product_flops(const Graph& g);

// Medians of one execution, in milliseconds.
struct Timing {
    double device = 0; // by the device's timestamps; where it has none, the host's clock
    double host = 0;   // with submitting and waiting, and for training steps all that the host does for them
};
// The first run compiles and warms up; then submissions of about 0.1 s.
Timing time_ms(const Prepared& work);

} // namespace vkvae
