// What all surfaces of somebody share: where a fragment is on the body at rest, and how light falls on it.
uniform vec3 skin, flush, hair, offset;
uniform int hair_style, collar;
uniform vec2 neckline;
in vec3 v_place, v_normal, v_rest, v_limb;
in vec4 v_zone;
out vec4 pixel_colour;

float line(float distance, float width) {  // 1 on a line, smooth over a pixel
    return 1.0 - smoothstep(width * 0.5, width * 0.5 + max(fwidth(distance), 1e-5), abs(distance));
}

float throat_at(vec3 at) {  // height at which the top ends and the neck begins
    float side = abs(at.x);
    float y = mix(0.288, 0.268, smoothstep(0.0, 0.05, at.z));
    y -= neckline.x * smoothstep(0.03, 0.07, at.z) * (1.0 - smoothstep(0.0, neckline.y, side));
    return y + 0.3 * max(side - 0.055, 0.0) + 0.018 * float(collar);
}

// Colour of paint in light; soft: how much it is skin; hollow: light from around that reaches it; fuzz: of cloth.
void shade(vec3 paint, float height, float sheen, float glossy, float soft, float hollow, float fuzz) {
    vec3 normal = normalize(v_normal), view = normalize(eye - v_place);
    if (!gl_FrontFacing) normal = -normal;
    vec3 shaped = bump(normal, v_place, height);
    float sunlit = lit(v_place, normal, min(softness, 0.018)) * smoothstep(-0.05, 0.2, dot(normal, sun_direction));
    vec3 wrap = vec3(0.22, 0.09, 0.06) * soft;  // red light spreads in skin
    vec3 direct = sun * max((dot(shaped, sun_direction) + wrap) / (1.0 + wrap), 0.0) * sunlit;
    float low = mix(0.55, 1.0, smoothstep(0.0, 0.7, v_place.y));
    vec3 ambient = mix(bounce * low, sky, 0.5 + 0.5 * shaped.y) * hollow;
    vec3 second = fill * (0.35 + 0.65 * max(dot(shaped, fill_direction), 0.0)) * hollow;
    float spark = pow(max(dot(shaped, normalize(view + sun_direction)), 0.0), glossy) * (0.2 + glossy * 0.012);
    float rim = 1.0 - max(dot(shaped, view), 0.0);
    rim *= rim * rim;
    vec3 light = paint * (direct * mix(0.75, 1.0, hollow) + ambient + second);
    light += sheen * (sun * sunlit * spark * 0.35 + sky * hollow * (0.12 * rim + 0.02));
    light += paint * fuzz * rim * 0.25 * sky * hollow;
    pixel_colour = vec4(film(light), 1.0);
}
