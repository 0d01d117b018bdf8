#version 330
uniform mat4 clip_from_world;
in vec3 position, normal, rest;
out vec3 v_place, v_normal, v_rest;
void main() {
    v_place = position;
    v_normal = normal;
    v_rest = rest;
    gl_Position = clip_from_world * vec4(position, 1.0);
}
