// Principal components: the directions in which points vary most.
//   C = 1/n sum_i (x_i - m)(x_i - m)^T = V diag(variance) V^T,   scores of x: (x - m) V
// Pearson 1901; the eigenvectors by cyclic Jacobi rotations (Golub and Van Loan, Matrix Computations, section 8.5).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace vkvae {

struct Eigen {
    std::vector<double> values;  // (d), largest first
    std::vector<double> vectors; // (d, d): row i belongs to values[i]; its largest component is positive
};
// Of a symmetric matrix (d, d). Error(runtime) for values that are not finite.
Eigen symmetric_eigen(std::span<const double> matrix, int64_t d);

struct Pca {
    int64_t dims = 0;
    std::vector<double> mean;               // (d)
    std::vector<double> variance;           // (d), largest first
    std::vector<double> axes;               // (d, d), a row for each variance
    double share(int64_t components) const; // of the whole variance
};
Pca fit_pca(std::span<const float> points, int64_t dims); // (n, d), n > 0

// The first `components` scores of each point: (n, components).
std::vector<float> project(const Pca& pca, std::span<const float> points, int64_t components);

} // namespace vkvae
