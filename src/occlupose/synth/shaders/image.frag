// The whole image: ground and surroundings (or a backdrop) behind the people and objects.
// GIVEN and INDOOR are 0 or 1; FLOOR is which of FLOORS.
uniform sampler2D front;     // people and objects, alpha 0 where there are none
uniform sampler2D strip;     // what stands around: walls, or houses and trees
uniform sampler2D contact;   // light that the ground gets in spite of those who stand on it, from above
uniform sampler2D backdrop;  // the backdrop
uniform mat3 world_from_pixel;
uniform vec3 contact_square; // x, z of its middle, metres of its half side
uniform vec3 floor_colour, floor_second, ceiling, horizon, room, room_middle, strip_tint;
uniform float floor_scale, floor_turn, gloss, clouds, haze, vignette, behind, strip_shift;
uniform vec2 size;
in vec2 v_screen;
out vec4 pixel_colour;

float any_of(vec2 cell) {  // a random number for a board or a tile
    return fract(sin(dot(floor(cell), vec2(12.9898, 78.233))) * 43758.5);
}

vec3 ground(vec2 at, float blur) {
    float c = cos(floor_turn), s = sin(floor_turn);
    vec2 p = mat2(c, s, -s, c) * at / floor_scale;
    float print = log2(blur) + 3.9;  // sharper than round footprints would be: the ground is seen at a slant
    vec4 rough = noisy(vec3(at * 0.11, 0.3), print, 0.11), fine = noisy(vec3(at * 1.3, 0.7), print, 1.3);
    float fade = 1.0 - smoothstep(0.2, 0.9, blur / floor_scale);
    float joint = 0.0, tone = 0.5, wide = min(0.5 * blur / floor_scale, 0.2);
#if FLOOR == 1
    vec2 board = vec2(p.x / 9.0 + fract(floor(p.y) * 0.37), p.y), gap = abs(fract(board) - 0.5);
    joint = max(smoothstep(0.45 - wide, 0.49, gap.y), smoothstep(0.494 - 0.1 * wide, 0.498, gap.x));
    vec4 veins = noisy(vec3(p * vec2(0.25, 3.0) * floor_scale, 0.1), print, 1.5);
    tone = 0.6 * mix(0.5, any_of(board), fade) + 0.5 * veins.x;
#elif FLOOR == 2 || FLOOR == 5
    vec2 q = FLOOR == 5 ? vec2(p.x * 0.5 + 0.5 * mod(floor(p.y), 2.0), p.y) : p, gap = abs(fract(q) - 0.5);
    joint = max(smoothstep(0.475 - wide, 0.49, gap.x), smoothstep(0.475 - wide, 0.49, gap.y));
    tone = 0.35 * mix(0.5, any_of(q), fade) + 0.65 * rough.x;
#elif FLOOR == 3
    tone = 0.4 * rough.x + 0.7 * fine.w;
#elif FLOOR == 4
    tone = 0.2 + 0.8 * fine.x + 0.9 * (rough.y - 0.5) + 0.5 * (fine.w - 0.5);
#else
    tone = 0.7 * rough.x + 0.5 * (fine.w - 0.25);
#endif
    vec3 paint = mix(floor_second, floor_colour, clamp(tone, 0.0, 1.1)) * (1.0 - 0.65 * joint * fade / (1.0 + 6.0 * wide));
    return paint * (0.75 + 0.5 * rough.y) * (0.88 + 0.24 * fine.z);
}

#if INDOOR == 1
vec3 around(vec3 ray, vec3 from, out float reach, out vec2 on_strip) {  // walls and ceiling
    vec2 wall_at = room.xy * 0.5;
    vec2 slant = vec2(ray.x < 0.0 ? min(ray.x, -1e-5) : max(ray.x, 1e-5), ray.z < 0.0 ? min(ray.z, -1e-5) : max(ray.z, 1e-5));
    vec2 far = (sign(slant) * wall_at - from.xz) / slant;
    reach = min(far.x, far.y);
    vec3 at = from + ray * reach;
    float along = far.x < far.y ? (ray.x > 0.0 ? at.z : room.x + room.y - at.z) : (ray.z > 0.0 ? room.x - at.x : at.x + room.y * 2.0 + room.x);
    on_strip = vec2(along / 24.0 + strip_shift, (eye.y + ray.y * reach) / room.z);
    vec2 corner = wall_at - abs(at.xz);
    float fold = (0.75 + 0.25 * smoothstep(0.0, 0.7, max(corner.x, corner.y))) * (far.x < far.y ? 1.0 : 0.86);
    vec3 wall = textureLod(strip, on_strip, log2(1.0 + behind) * 0.8).rgb;
    vec2 window = normalize(sun_direction.xz + 1e-4);
    vec3 aura = sky + 0.35 * bounce + 0.35 * sun * (0.6 - 0.4 * dot(normalize(ray.xz), window));
    float up = (room.z - eye.y) / max(ray.y, 1e-4);
    vec2 lamp = abs(fract((eye + ray * min(up, 60.0)).xz / 1.8) - 0.5);
    vec3 over = ceiling * (sky + 0.25 * sun) + 2.0 * sky * smoothstep(0.2, 0.16, max(lamp.x, lamp.y * 0.5));
    float roof = smoothstep(-0.02, 0.02, reach - up);
    return mix(wall * wall * strip_tint * aura * fold, over, roof);
}
#else
vec3 around(vec3 ray, vec3 from, out float reach, out vec2 on_strip) {  // houses and trees under the sky
    float a = dot(ray.xz, ray.xz), b = dot(from.xz, ray.xz), c = dot(from.xz, from.xz) - room.x * room.x;
    reach = (-b + sqrt(max(b * b - a * c, 0.0))) / max(a, 1e-6);
    vec3 at = from + ray * reach;
    on_strip = vec2(atan(at.x, at.z) / 6.2831853 + strip_shift, (eye.y + ray.y * reach) / (room.x * 0.75));
    vec4 wall = textureLod(strip, on_strip, log2(1.0 + behind) * 0.8);
    vec2 cloud = ray.xz / (max(ray.y, 0.0) + 0.25) * 0.08;
    float puff = textureLod(noise, vec3(cloud, 0.5), 0.0).y + 0.5 * textureLod(noise, vec3(cloud * 3.7, 0.2), 1.0).x;
    vec3 over = mix(horizon, ceiling, smoothstep(-0.02, 0.5, ray.y));
    over = mix(over, vec3(0.85), clouds * smoothstep(0.6, 0.95, puff)) * (0.9 * sky + 0.35 * sun + 0.25);
    float glow = max(dot(ray, sun_direction), 0.0);
    over += sun * 0.5 * pow(glow, 24.0);
    vec3 front_ = wall.rgb * wall.rgb * strip_tint * (sky + 0.22 * sun * (1.0 - 0.6 * dot(normalize(ray.xz), normalize(sun_direction.xz + 1e-4))));
    return mix(over, mix(front_, horizon * sky, haze), on_strip.y > 0.99 ? 0.0 : wall.a);
}
#endif

vec4 smooth_front() {  // people and objects with smooth edges (the short form of FXAA, Lottes 2009)
    vec2 texel = 1.0 / size;
    const vec4 weight = vec4(0.3, 0.5, 0.2, 1.0);
    float a = dot(texture(front, v_screen - texel), weight), d = dot(texture(front, v_screen + texel), weight);
    float b = dot(texture(front, v_screen + texel * vec2(1.0, -1.0)), weight), c = dot(texture(front, v_screen + texel * vec2(-1.0, 1.0)), weight);
    vec2 along = vec2(c + d - a - b, a + c - b - d);
    along = clamp(along / (min(abs(along.x), abs(along.y)) + 0.03 * (a + b + c + d) + 0.02), -4.0, 4.0) * texel;
    return 0.5 * (texture(front, v_screen + along / 6.0) + texture(front, v_screen - along / 6.0));
}

void main() {
    vec2 pixel = v_screen * size - 0.5;
    vec3 ray = normalize(world_from_pixel * vec3(pixel, 1.0));
    float down = ray.y < -1e-4 && eye.y > 0.0 ? eye.y / -ray.y : 1e9;
    vec3 at = eye + ray * min(down, 400.0);
    vec2 square = (at.xz - contact_square.xy) / contact_square.z;
    float near = max(abs(square.x), abs(square.y)) < 1.0 ? texture(contact, square * 0.5 + 0.5).r : 1.0;
    float sunlit = lit(at, vec3(0.0, 1.0, 0.0), softness * 1.3);
    vec3 direct = sun * sun_direction.y * sunlit, ambient = (sky + 0.3 * fill) * near;
#if GIVEN == 1
    vec3 shown = texture(backdrop, v_screen).rgb;
    vec3 share = (direct + ambient) / (sun * sun_direction.y + sky + 0.3 * fill);
    shown *= down < 60.0 ? pow(share, vec3(0.4)) : vec3(1.0);
#else
    float reach;
    vec2 on_strip;
    vec3 light = around(ray, eye - room_middle, reach, on_strip);
    vec3 lit_ground = ground(at.xz, down * down / (eye.y * size.x) * 1.2) * (direct + ambient);
    float mirror = gloss * pow(1.0 - max(-ray.y, 0.0), 3.0) * near;
#if INDOOR == 1
    lit_ground *= 0.65 + 0.35 * smoothstep(0.0, 0.8, (reach - down) * length(ray.xz));
    vec3 image = textureLod(strip, vec2(on_strip.x, 0.25), 4.0).rgb;
    lit_ground = mix(lit_ground, image * image * (sky + 0.2 * sun), mirror);
    float join = 0.0;
#else
    lit_ground = mix(lit_ground, horizon * sky, haze * smoothstep(2.0, room.x, down));
    float join = 0.04 * reach;
#endif
    light = mix(light, lit_ground, join > 0.0 ? smoothstep(join, 0.0, down - reach + join) : step(down, reach));
    vec3 shown = film(light);
#endif
    vec4 people = smooth_front();
    shown = people.rgb + shown * (1.0 - people.a);
    vec2 off = (v_screen - 0.5) * vec2(1.0, size.y / size.x) * 1.6;
    pixel_colour = vec4(shown * (1.0 - vignette * smoothstep(0.1, 0.9, dot(off, off))), 1.0);
}
