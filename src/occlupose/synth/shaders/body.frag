// Trunk and limbs: skin, clothes, shoes, and long hair on the back.
uniform vec3 shoe, sole, sock;
uniform int buttons, skirt, belt, laces;
uniform vec3 top_colour, top_second, jacket_colour, jacket_second, bottom_colour, bottom_second;
uniform int top_pattern, jacket_pattern, bottom_pattern;
uniform float top_scale, top_sheen, top_folds, jacket_scale, jacket_sheen, jacket_folds, bottom_scale, bottom_sheen, bottom_folds;
uniform float open, sleeve, hem, waist, leg, shoe_top, sock_top;

void main() {
    vec3 at = v_rest;
    float arm = v_zone.x, side = abs(at.x), front = step(0.0, at.z), trunk = step(arm, 0.02);
    float print = footprint(v_place);
    vec4 rough = noisy(v_limb * 1.9 + offset, print, 1.9);
    vec4 fine = noisy(v_limb * 9.0 + offset.zxy, print, 9.0);

    // which garment
    float ragged = 0.002 * (fine.x - 0.5) + 0.005 * (rough.y - 0.5);
    float throat = throat_at(at), above_hem = at.y - hem - ragged;
    float shirt = edge(min(min(sleeve - arm + ragged, arm > 0.02 ? 1.0 : above_hem), throat - at.y));
    float legs = edge(min(waist - at.y, at.y - leg - ragged)) * trunk * (1.0 - shirt);
    float shoes = edge(shoe_top - at.y) * trunk, socks = edge(sock_top - at.y) * trunk * (1.0 - legs) * (1.0 - shoes);
    float gap = open * (0.45 + 1.3 * smoothstep(-0.1, 0.26, at.y)) + 0.006 * (rough.x - 0.5), centre = at.x + 0.004;
    float coat = open > 0.0 ? shirt * (1.0 - edge(gap - abs(centre)) * front * trunk) : 0.0;
    float ends = (hair_style == 5 ? 0.13 : 0.25) + 0.09 * (rough.y - 0.5);
    float mane = hair_style >= 4 ? edge(at.y - ends) * smoothstep(0.03, 0.02, at.z) * smoothstep(0.085, 0.07, side) * trunk : 0.0;

    // its material
    bool lower = legs > 0.5, outer = coat > 0.5;
    int pattern = lower ? bottom_pattern : outer ? jacket_pattern : top_pattern;
    vec3 ground = lower ? bottom_colour : outer ? jacket_colour : top_colour;
    vec3 second_ = lower ? bottom_second : outer ? jacket_second : top_second;
    float scale = lower ? bottom_scale : outer ? jacket_scale : top_scale;
    float tall = lower ? bottom_folds : outer ? jacket_folds : top_folds;
    float gleam = 0.04 + (lower ? bottom_sheen : outer ? jacket_sheen : top_sheen);

    // folds run around limbs, and are deepest at joints
    vec4 fold = noisy(vec3(v_limb.x * 0.9, v_limb.y * 3.2 + 0.35 * v_limb.x * sign(at.x), v_limb.z * 0.9) + offset.yxz, print, 1.6);
    float crease = abs(fold.x - 0.5) * 2.0, ridge = 1.0 - crease * crease;
    float folds = (0.25 + 0.95 * v_zone.y) * (1.4 * ridge + 0.5 * fold.y) + 1.3 * rough.y + 0.3 * fold.z;

    // its pattern
    float around = atan(v_limb.x, v_limb.z) * (arm > 0.0 ? 0.045 : 0.11);
    vec2 on = vec2(around, v_limb.y) / scale, tile = fract(on);
    vec2 blur = fwidth(v_limb.xy + v_limb.zz) / scale + 0.02;
    blur = min(vec2(max(blur.x, blur.y)), 2.0);
    float fade = 1.0 - smoothstep(0.3, 0.8, blur.x);
    vec2 wave = abs(tile - 0.5), band = smoothstep(0.25 - blur, 0.25 + blur, wave);
    vec2 chest = vec2(at.x, at.y - 0.13) / vec2(0.055, 0.06);
    vec3 spot = pattern == 8 ? v_limb / scale * 0.28 + offset.yzx : vec3(chest * 0.14, 0.0) + offset;
    if (mane > 0.0) spot = vec3(at.x * 20.0, at.y * 1.2, at.z * 8.0) + offset;
    vec4 ink = noisy(spot, print, 4.0);
    float amount = 0.0;
    amount = pattern == 1 ? 0.7 * (rough.w - 0.3) : amount;
    amount = pattern == 2 ? band.y * fade + 0.5 * (1.0 - fade) : amount;
    amount = pattern == 3 ? smoothstep(0.42 - blur.x, 0.42 + blur.x, wave.x) * fade : amount;
    amount = pattern == 4 ? mix(0.5, 0.5 * (band.x + band.y), fade) : amount;
    float shift = 0.5 * mod(floor(on.y), 2.0);
    amount = pattern == 5 ? smoothstep(0.3 + blur.x, 0.3 - blur.x, length(fract(on + vec2(shift, 0.0)) - 0.5)) * fade : amount;
    amount = pattern == 6 ? edge(1.0 - max(abs(chest.x), abs(chest.y))) * front * trunk * smoothstep(0.47, 0.53, ink.x + 0.6 * (ink.y - 0.5)) : amount;
    amount = pattern == 7 ? 0.7 * (rough.w - 0.35) + 0.5 * smoothstep(0.4, 0.85, rough.x) * (0.4 + 0.6 * v_zone.y) : amount;
    amount = pattern == 8 ? smoothstep(0.46, 0.54, ink.y) - 0.5 * smoothstep(0.5, 0.56, ink.x) : amount;
    vec3 stuff = mix(ground, second_, clamp(amount, 0.0, 1.0)) * (0.8 + 0.4 * rough.w) * (0.9 + 0.2 * rough.x);

    // its seams, pockets and buttons
    float lines = 0.0;
    if (lower) {
        float trousers = 1.0 - float(skirt);
        lines = 0.35 * line(at.x, 0.003) * front * smoothstep(-0.19, -0.17, at.y);
        lines += 0.35 * line(side - 0.085 - 0.5 * (at.y + 0.07), 0.003) * step(-0.11, at.y) * front;
        lines += 0.35 * line(max(abs(side - 0.055) / 0.036, abs(at.y + 0.115) / 0.035) - 1.0, 0.07) * step(at.z, -0.02);
        lines += 0.3 * line(at.z - 0.015, 0.003) * smoothstep(-0.1, -0.2, at.y);
        lines = lines * trousers + 0.3 * line(at.y - leg - 0.008, 0.0025);
        stuff = mix(stuff, vec3(0.02, 0.014, 0.01), edge(at.y - waist + 0.022) * float(belt));
    } else {
        float flap = at.y - throat + 0.014 + 0.3 * max(0.0, 0.05 - side) * step(0.02, at.z);
        lines = collar == 1 ? 0.35 * line(flap, 0.004) : 0.22 * line(at.y - throat + 0.01, 0.003);
        lines *= step(arm, 0.03);
        float chest_ = front * trunk;
        lines += 0.25 * line(abs(centre) - 0.012, 0.002) * chest_ * float(buttons) * (1.0 - coat);
        float button = edge(0.0042 - length(vec2(centre, mod(at.y, 0.055) - 0.0275))) * chest_ * float(buttons) * (1.0 - coat);
        stuff = mix(stuff, vec3(0.5) * (0.4 + top_second), 0.8 * button);
        lines += 0.4 * coat * line(abs(centre) - gap - 0.032 * smoothstep(0.02, 0.2, at.y), 0.004) * front * step(0.05, at.y);
        lines += 0.4 * coat * line(at.y + 0.05, 0.004) * step(0.05, side) * step(side, 0.1) * step(0.02, at.z);
        stuff *= 1.0 - 0.4 * step(1e-4, open) * (1.0 - coat) * smoothstep(0.02, 0.0, gap - abs(centre));
        lines += 0.3 * line(sleeve - arm - 0.009, 0.0025) * step(0.02, arm) + 0.12 * line(arm - 0.012, 0.003);
        lines += 0.3 * line(above_hem - 0.009, 0.0025) * trunk;
    }
    stuff *= 1.0 - min(lines, 0.7);

    // skin, socks and shoes
    float knuckle = smoothstep(0.4, 0.44, arm) * (0.3 + fine.x);
    float knee = exp(-((at.y + 0.435) * (at.y + 0.435) + (at.z - 0.06) * (at.z - 0.06)) / 0.002);
    vec3 paint = skin * (0.86 + 0.2 * rough.x + 0.16 * (fine.y - 0.5));
    paint = mix(paint, flush, clamp(0.4 * knuckle + 0.35 * knee + 0.15 * (rough.z - 0.3), 0.0, 0.7));
    paint = mix(paint, sock * (0.8 + 0.4 * rough.w), socks);
    float under = edge(-0.776 + 0.012 * smoothstep(0.0, -0.04, at.z) - at.y);
    vec3 leather = shoe * (0.8 + 0.4 * rough.w);
    float tongue = line(side - 0.13, 0.03) * step(-0.765, at.y) * smoothstep(0.03, 0.045, at.z) * smoothstep(0.105, 0.095, at.z);
    leather = mix(leather, vec3(0.6) * (0.3 + sole), 0.75 * float(laces) * tongue * step(0.5, fract(at.z * 95.0)));
    leather *= 1.0 - 0.35 * line(at.z - 0.1, 0.003) - 0.3 * line(at.y - shoe_top + 0.01, 0.003);
    paint = mix(paint, mix(leather, sole * (0.7 + 0.4 * rough.w), under), shoes);
    float worn = max(legs, shirt) * (1.0 - shoes);
    paint = mix(paint, stuff, worn);
    paint = mix(paint, hair * (0.35 + 0.9 * ink.x), mane);
    worn *= 1.0 - mane;
    float covered = max(max(worn, mane), max(shoes, socks));
    paint *= 1.0 - 0.25 * smoothstep(0.5, 0.75, rough.y) * (shoes + 0.3 * legs * smoothstep(-0.55, -0.7, at.y));  // dust

    // shade below hems
    float dark = 1.0 - 0.45 * smoothstep(0.02, 0.0, leg - at.y) * step(at.y, leg) * trunk;
    dark *= 1.0 - 0.45 * smoothstep(0.018, 0.0, arm - sleeve) * step(sleeve, arm);
    dark *= 1.0 - 0.4 * smoothstep(0.012, 0.0, at.y - throat) * step(throat, at.y) * step(arm, 0.05);
    dark *= 1.0 - 0.4 * legs * smoothstep(0.02, 0.0, -above_hem) * step(above_hem, 0.0);

    float height = mix(0.0006 * fine.x, 0.0042 * tall * folds, worn);
    height = mix(height, 0.0015 * rough.y, shoes) + 0.0009 * socks * sin(v_limb.x * 700.0) + 0.003 * mane * ink.x;
    float sheen = mix(mix(0.12, gleam, covered), 0.22, max(mane, shoes * (1.0 - under)));
    shade(paint, height, sheen, 18.0, 1.0 - covered, v_zone.z * dark, worn);
}
