// Head and neck: skin, face, hair, hats and glasses.
uniform vec3 lips, iris, hat_colour;
uniform float freckles, wrinkles, beard, beard_length, parting;
uniform int hat, glasses;
uniform vec2 eye_place[2];  // x and y of the left and of the right eye at rest
uniform vec3 collar_colour;  // of the garment around the neck

void main() {
    vec3 at = v_rest;
    float side = abs(at.x);
    float print = footprint(v_place);
    vec4 rough = noisy(v_limb * 1.9 + offset, print, 1.9);
    vec4 fine = noisy(v_limb * 9.0 + offset.zxy, print, 9.0);
    float height = 0.0006 * fine.x, sheen = 0.12, glossy = 18.0, dark = 1.0, soft = 1.0;
    vec3 paint = skin * (0.86 + 0.2 * rough.x + 0.16 * (fine.y - 0.5));
    vec2 which = at.x > 0.0 ? eye_place[0] : eye_place[1];
    vec2 from = (at.xy - which) * vec2(sign(at.x), 1.0);
    float front = smoothstep(0.055, 0.085, at.z);
    float cheek = exp(-dot(from - vec2(0.008, -0.032), from - vec2(0.008, -0.032)) / 0.0004) + 0.7 * exp(-(at.x * at.x + pow(at.y - 0.368, 2.0)) / 0.00022) * step(0.11, at.z);
    cheek += smoothstep(0.055, 0.07, side) * exp(-pow(at.y - 0.385, 2.0) / 0.001);
    paint = mix(paint, flush, clamp(0.42 * cheek, 0.0, 0.6));
    paint *= 1.0 - freckles * 0.5 * smoothstep(0.62, 0.72, fine.z) * front;
    paint *= 1.0 - 0.3 * front * exp(-dot(from * vec2(0.8, 1.0), from * vec2(0.8, 1.0)) / 0.00022);  // sockets
    height += 0.0012 * wrinkles * front * rough.y;
    // beard
    float jaw = smoothstep(0.355, 0.335, at.y + 0.25 * (0.09 - at.z)) * smoothstep(0.285, 0.30, at.y) * smoothstep(0.03, 0.05, at.z);
    float moustache = exp(-pow((at.y - 0.3515) / 0.0042, 2.0)) * (1.0 - smoothstep(0.016, 0.026, side)) * front;
    float bristles = clamp(jaw * (1.0 - 0.85 * exp(-(at.x * at.x / 0.0006 + pow(at.y - 0.336, 2.0) / 0.00006))) + moustache, 0.0, 1.0);
    float shave = beard * bristles * (0.55 + 0.9 * fine.y);
    paint = mix(paint, hair * 0.9 + 0.02 * skin, clamp(shave * mix(0.45, 1.0, beard_length * step(0.6, beard)), 0.0, 0.95));
    // mouth
    float smile = at.y - 0.3385 - 0.10 * at.x * at.x / 0.02;
    float mouth = smoothstep(1.0, 0.75, length(vec2(at.x / 0.0225, smile / (smile > 0.0 ? 0.0058 : 0.0075)))) * front;
    paint = mix(paint, lips, 0.85 * mouth);
    paint *= 1.0 - 0.6 * front * line(smile, 0.0016) * (1.0 - smoothstep(0.018, 0.024, side));
    paint *= 1.0 - 0.6 * step(0.1, at.z) * exp(-(pow(side - 0.0065, 2.0) + pow(at.y - 0.3625, 2.0)) / 0.000009);  // nostrils
    // eyes
    vec2 lid = from / vec2(0.0145, from.y > 0.0 ? 0.0062 : 0.0050);
    float eyeball = edge(1.0 - length(vec2(lid.x, lid.y + 0.35 * lid.x * lid.x * sign(from.y)))) * front;
    float ring = length(from);
    vec3 ball = mix(vec3(0.45, 0.41, 0.39), iris, edge(0.0062 - ring));
    ball = mix(ball, vec3(0.012), edge(0.0029 - ring));
    ball *= 0.55 + 0.45 * smoothstep(0.006, -0.001, from.y);
    paint = mix(paint, ball, eyeball);
    sheen = mix(sheen, 0.9, eyeball);
    glossy = mix(glossy, 90.0, eyeball);
    float lash = line(length(vec2(lid.x, lid.y)) - 1.0, 0.28) * step(-0.001, from.y) * front;
    paint *= 1.0 - 0.75 * lash;
    // brows
    float arch = from.y - 0.0195 + 0.6 * from.x * from.x / 0.03 - 0.06 * from.x;
    float brow = smoothstep(0.0055, 0.002, abs(arch)) * smoothstep(0.024, 0.017, abs(from.x - 0.002)) * front * (0.5 + 0.9 * fine.x);
    paint = mix(paint, hair * 0.7, clamp(0.85 * brow, 0.0, 0.92));

    // hair
    vec4 lock = noisy(vec3(at.x * 6.0, at.y * 0.8, at.z * 6.0) + offset.zyx, print, 6.0);
    vec4 strand = noisy(vec3(at.x * 22.0, at.y * 2.0, at.z * 22.0) + offset, print, 22.0);
    float jag = 0.014 * (lock.x - 0.5) + 0.008 * (strand.x - 0.5);
    float line_front = 0.437 - 0.10 * side + jag;                      // forehead
    float temple = mix(line_front, 0.40, smoothstep(0.045, 0.062, side));
    float ear = smoothstep(0.062, 0.068, side) * step(abs(at.y - 0.385), 0.034) * smoothstep(0.06, 0.05, at.z) * smoothstep(0.0, 0.012, at.z);
    float low = hair_style <= 2 ? 0.345 : hair_style == 3 ? 0.33 : hair_style == 4 ? 0.29 : 0.2;
    float face = smoothstep(hair_style >= 4 ? 0.078 : 0.052, hair_style >= 4 ? 0.084 : 0.058, at.z + 0.6 * jag);
    if (hair_style >= 3) temple = mix(temple, 0.36, smoothstep(0.055, 0.066, side));
    float limit = mix(low + jag, max(line_front, temple), face);
    float covered = edge(at.y - limit) * (hair_style >= 4 ? 1.0 : 1.0 - ear);
    if (hair_style == 0) covered *= 0.0;
    float thick = hair_style == 1 ? 0.72 + 0.25 * fine.x : 1.0;
    float shine = 0.45 + 0.65 * strand.x + 0.55 * (lock.y - 0.35);
    shine *= 1.0 - 0.6 * line(at.x - parting, 0.003) * step(2.0, float(hair_style)) * step(0.45, at.y);
    vec3 hairy = hair * max(shine, 0.12);
    if (hair_style == 0) paint *= 1.0 - 0.12 * edge(at.y - limit);
    paint = mix(paint, hairy, covered * thick);
    dark *= 1.0 - 0.3 * (1.0 - covered) * smoothstep(0.02, 0.0, limit - at.y) * step(1.0, float(hair_style));
    height += covered * (0.0035 * lock.x + 0.0016 * strand.x);
    sheen = mix(sheen, 0.22, covered);
    soft = mix(soft, 0.0, covered);
    // hats
    float rim = hat == 1 ? 0.437 : 0.418;
    float capped = hat == 0 ? 0.0 : edge(at.y - rim + 0.08 * (0.05 - at.z) * float(hat == 1));
    paint = mix(paint, hat_colour * (0.75 + 0.5 * rough.w), capped);
    height = mix(height, hat == 2 ? 0.0012 * sin(at.x * 900.0) : 0.0, capped);
    sheen = mix(sheen, 0.03, capped);
    if (hat == 1) dark *= 1.0 - 0.55 * (1.0 - capped) * front * smoothstep(0.385, 0.43, at.y);
    soft *= 1.0 - capped;
    // glasses
    if (glasses > 0) {
        vec2 frame = from / vec2(0.0225, 0.0165) + vec2(0.0, 0.1);
        float shape = pow(pow(abs(frame.x), 4.0) + pow(abs(frame.y), 4.0), 0.25);
        float near = smoothstep(0.068, 0.08, at.z);
        float wire = max(line(shape - 1.0, 0.16), line(at.y - 0.398, 0.0035) * step(side, 0.006)) * near;
        wire = max(wire, line(at.y - 0.399, 0.004) * step(0.045, side) * step(0.035, at.z) * (1.0 - covered));
        if (glasses == 2) wire = max(wire, edge(1.0 - shape) * near);
        paint = mix(paint, vec3(0.015), wire);
        sheen = mix(sheen, 0.8, wire);
    }

    // collar
    float throat = throat_at(at);
    float shirt = edge(throat - at.y);
    paint = mix(paint, collar_colour * (0.85 + 0.3 * rough.w), shirt);
    soft *= 1.0 - shirt;
    dark *= 1.0 - 0.4 * smoothstep(0.012, 0.0, at.y - throat) * step(throat, at.y);
    shade(paint, height, sheen, glossy, soft, v_zone.z * dark, 1.0 - soft);
}
