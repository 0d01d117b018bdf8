// Furniture, boxes, bars and plants.
uniform vec3 colour, second, offset;
uniform int material;
uniform float sheen, scale;
in vec3 v_place, v_normal, v_rest;
out vec4 pixel_colour;

void main() {
    vec3 normal = normalize(v_normal), view = normalize(eye - v_place);
    if (dot(normal, view) < 0.0) normal = -normal;
    float print = footprint(v_place);
    vec4 rough = noisy(v_rest * 0.7 + offset, print, 0.7);
    vec4 fine = noisy(v_rest * 5.0 + offset.yzx, print, 5.0);
    vec4 grain_ = noisy(v_rest * vec3(0.35, 5.0, 5.0) + offset.zxy, print, 5.0);
    vec3 paint = colour;
    float height = 0.0003 * fine.x;
    if (material == 0) paint *= 0.85 + 0.25 * rough.x + 0.08 * fine.w;
    if (material == 1) {
        float rings = fract(6.0 * grain_.x + 2.0 * rough.x);
        paint = mix(colour, second, 0.65 * smoothstep(0.2, 0.9, rings) * (0.4 + grain_.w)) * (0.8 + 0.35 * rough.y);
    }
    if (material == 2) {
        paint *= 0.82 + 0.25 * rough.x + 0.12 * fine.w;
        float tape = edge(0.028 - abs(v_rest.z)) * step(0.5, abs(normal.y));
        paint = mix(paint, paint * vec3(0.75, 0.66, 0.5), 0.7 * tape);
    }
    if (material == 3) paint *= 0.75 + 0.3 * grain_.w + 0.25 * rough.x;
    if (material == 4) { paint = mix(colour, second, fine.w) * (0.7 + 0.5 * rough.x); height = 0.002 * fine.z; }
    if (material == 5) { paint = mix(second, colour, rough.z) * (0.5 + 0.9 * fine.x); height = 0.004 * fine.x; }
    paint *= 1.0 - 0.15 * smoothstep(0.45, 0.85, rough.y);
    vec3 shaped = bump(normal, v_place, height);
    float sunlit = lit(v_place, normal, softness) * smoothstep(-0.02, 0.1, dot(normal, sun_direction));
    float low = mix(0.5, 1.0, smoothstep(0.0, 0.4, v_place.y));
    vec3 ambient = mix(bounce, sky, 0.5 + 0.5 * shaped.y) * mix(low, 1.0, max(normal.y, 0.0));
    vec3 direct = sun * max(dot(shaped, sun_direction), 0.0) * sunlit;
    vec3 second_ = fill * (0.35 + 0.65 * max(dot(shaped, fill_direction), 0.0)) * low;
    float spark = pow(max(dot(shaped, normalize(view + sun_direction)), 0.0), 30.0);
    float rim = pow(1.0 - max(dot(shaped, view), 0.0), 4.0);
    vec3 light = paint * (ambient + direct + second_) + sheen * (sun * sunlit * spark * 0.6 + sky * (0.03 + 0.3 * rim));
    pixel_colour = vec4(film(light), 1.0);
}
