#version 330
uniform mat4 clip_from_world;
in vec3 position, normal, rest, limb;
in vec4 zone;  // metres down the arm; nearness to a joint; openness to the sky; 1 on head and neck
out vec3 v_place, v_normal, v_rest, v_limb;
out vec4 v_zone;
void main() {
    v_place = position;
    v_normal = normal;
    v_rest = rest;
    v_limb = limb;
    v_zone = zone;
    gl_Position = clip_from_world * vec4(position, 1.0);
}
