// One work item per element, workgroups folded into y where x alone is too short (65535 groups are guaranteed).
layout(local_size_x_id = 0) in;

uint global_index() {
    return (gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x) * gl_WorkGroupSize.x + gl_LocalInvocationID.x;
}
