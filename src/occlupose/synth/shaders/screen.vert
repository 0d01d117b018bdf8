#version 330
out vec2 v_screen;  // 0 to 1, from the top left corner of the image
void main() {
    v_screen = vec2(gl_VertexID == 1 ? 2.0 : 0.0, gl_VertexID == 2 ? 2.0 : 0.0);
    gl_Position = vec4(v_screen * 2.0 - 1.0, 0.0, 1.0);
}
