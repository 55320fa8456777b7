// The factor that brings gradients of squared norm `squares` down to clip_norm; PyTorch's clip_grad_norm_.
float clip_factor(float squares, float clip_norm) {
    return clip_norm > 0.0 ? min(1.0, clip_norm / (sqrt(squares) + 1e-6)) : 1.0;
}
