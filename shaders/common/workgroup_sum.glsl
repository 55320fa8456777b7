// The sum of one vec2 from each work item of the workgroup, the same on all of them; a fixed tree. Sizes are powers of 2.
shared vec2 workgroup_values[gl_WorkGroupSize.x];

vec2 workgroup_sum(vec2 value) {
    uint item = gl_LocalInvocationID.x;
    workgroup_values[item] = value;
    for (uint apart = gl_WorkGroupSize.x / 2; apart > 0; apart /= 2) {
        barrier();
        if (item < apart)
            workgroup_values[item] += workgroup_values[item + apart];
    }
    barrier();
    return workgroup_values[0];
}
