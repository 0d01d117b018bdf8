// Noise, shadows and the film, for every surface.
uniform sampler3D noise;          // four octaves that are independent of each other, tiling, mean 0.5
uniform sampler2DShadow shadows;  // depth from the main light
uniform mat4 light_from_world;
uniform float shadow_texels;      // texels of the shadow map in one metre
uniform vec3 sun_direction, sun, sky, bounce, fill_direction, fill;
uniform float softness, exposure, contrast, saturation;
uniform vec3 white;
uniform vec3 eye;

float edge(float value) {  // 1 where positive, smooth over a pixel
    return clamp(value / max(fwidth(value), 1e-6) + 0.5, 0.0, 1.0);
}

float grain() {  // differs from pixel to pixel (interleaved gradient noise, Jimenez 2014)
    return fract(52.9829189 * fract(dot(gl_FragCoord.xy, vec2(0.06711056, 0.00583715))));
}

float lit(vec3 place, vec3 normal, float wide) {  // share of the main light that reaches a place
    vec4 at = light_from_world * vec4(place + normal * (0.016 + 0.3 * wide), 1.0);
    vec3 uvz = at.xyz * 0.5 + 0.5;
    uvz.z = min(uvz.z - 0.002, 1.0);
    float radius = wide * shadow_texels / float(textureSize(shadows, 0).x), turn = 6.2831853 * grain();
    vec2 a = radius * vec2(cos(turn), sin(turn)), b = vec2(-a.y, a.x);
    float sum = texture(shadows, uvz + vec3(a, 0.0)) + texture(shadows, uvz - vec3(a, 0.0));
#ifdef FEW_TAPS
    return 0.5 * sum;
#else
    sum += texture(shadows, uvz + vec3(b * 0.6, 0.0)) + texture(shadows, uvz - vec3(b * 0.6, 0.0));
    return 0.25 * sum;
#endif
}

float footprint(vec3 place) {  // of a pixel on a surface, as the logarithm to base 2 of metres times texels of the noise
    vec3 dx = dFdx(place), dy = dFdy(place);
    return 0.5 * log2(max(dot(dx, dx), dot(dy, dy)) + 1e-12) + 6.0;
}

vec4 noisy(vec3 at, float print, float repeats) {  // noise at a place, with this many repeats in a metre
    return textureLod(noise, at, print + log2(repeats));
}

vec3 bump(vec3 normal, vec3 place, float height) {  // normal of a surface raised by height (Mikkelsen 2010)
    vec3 dx = dFdx(place), dy = dFdy(place);
    vec3 across = cross(dy, normal), along = cross(normal, dx);
    float area = dot(dx, across);
    vec3 slope = sign(area) * (dFdx(height) * across + dFdy(height) * along);
    return normalize(abs(area) * normal - slope);
}

vec3 film(vec3 light) {  // sRGB of light, after a filmic curve (Hable's form as fitted by Narkowicz 2015)
    vec3 x = max(light * exposure * white * 0.72, 0.0);
    x = mix(vec3(dot(x, vec3(0.2126, 0.7152, 0.0722))), x, saturation);
    x = max(x, 0.0);
    x = (x * (2.51 * x + 0.03)) / (x * (2.43 * x + 0.59) + 0.14);
    return pow(clamp(x, 0.0, 1.0), vec3(contrast * 0.4545));
}
